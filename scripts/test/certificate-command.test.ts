import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { readStoredCertificate } from "@gatehouse/shared/certificate";
import { parseHostname } from "@gatehouse/shared/hostname";
import { newSecretKey, SealingKeys } from "@gatehouse/shared/sealing";
import { createCertificateAuthority, type IssuedCertificate } from "@gatehouse/testbed/certificate-authority";
import { CommandBed } from "./support/command-bed.ts";

const HOST = "simple.example.com";
const DAY_MS = 86_400_000;
let bed: CommandBed;
let directory: string;
let good: IssuedCertificate;
let expired: IssuedCertificate;
let foreign: IssuedCertificate;

beforeAll(async () => {
  bed = await CommandBed.open();
  directory = await mkdtemp("/tmp/gatehouse-test-");
  const authority = await createCertificateAuthority(directory);
  expired = await authority.issue(["old.example.com", HOST], { notAfter: new Date(Date.now() - DAY_MS) });
  foreign = await authority.issue(["other.example.com"]);
  good = await authority.issue([HOST, "*.wild.example.com"], {
    notAfter: new Date(Date.now() + 60.5 * DAY_MS),
  });
});
afterEach(async () => {
  await bed.redis.flushall();
});
afterAll(async () => {
  await bed?.close();
  await rm(directory, { recursive: true, force: true });
});

function imported(certificate: IssuedCertificate = good, keyPath: string = certificate.keyPath): string[] {
  return ["cert", "import", HOST, "--chain", certificate.certPath, "--key", keyPath];
}

describe("gatehouse cert import", () => {
  test("stores what an instance opens with the same secret key; a second run writes nothing", async () => {
    expect(bed.json(...imported())).toEqual([expect.objectContaining({ hostname: HOST, is_written: true })]);
    const text = (await bed.redis.get(`cert:${HOST}`)) ?? "";
    expect(text).not.toContain("PRIVATE KEY");
    const name = parseHostname(HOST);
    const keys = SealingKeys.parse(bed.secretKey, []);
    if (!name.ok || !keys) throw new Error("unusable test key");
    const sealing = keys.forHostname(name.hostname);
    expect(sealing && readStoredCertificate(text, name.hostname, sealing)).toMatchObject({
      kind: "certificate",
      certificate: { keyPem: good.keyPem },
    });
    expect(bed.json(...imported())).toEqual([expect.objectContaining({ is_written: false })]);
    expect(await bed.redis.get(`cert:${HOST}`)).toBe(text);
    // The key was sealed with another secret key, which the instances don't have: sealed anew.
    bed.runWith({ GATEHOUSE_SECRET_KEY: newSecretKey() }, ...imported());
    expect(bed.json(...imported())).toEqual([expect.objectContaining({ is_written: true })]);
  });

  test("refuses what no peer would accept", async () => {
    const garbage = join(directory, "garbage.pem");
    await writeFile(garbage, "garbage");
    const failures: [string[], number, string][] = [
      [imported(good, foreign.keyPath), 1, "the private key is not that of the certificate"],
      [imported(foreign), 1, `does not name ${HOST}`],
      [imported(expired), 1, "it expired at"],
      [imported(good, garbage), 1, "the private key is not PEM"],
      [imported(good, "/no/file"), 2, "/no/file can't be read: ENOENT"],
      [["cert", "import", HOST, "--key", good.keyPath], 2, "--chain FILE"],
    ];
    for (const [args, status, message] of failures)
      expect(bed.run(...args)).toMatchObject({ status, out: "", err: expect.stringContaining(message) });
    expect(bed.runWith({ GATEHOUSE_SECRET_KEY: undefined }, ...imported()).status).toBe(78);
    expect(await bed.redis.keys("*")).toEqual([]);
  });

  test("says when the host looks elsewhere", async () => {
    await bed.redis.set(`proxy:${HOST}`, JSON.stringify({ target_url: "http://x", certificate: "file" }));
    expect(bed.run(...imported()).err).toContain(`gatehouse host set ${HOST} --certificate stored`);
    await bed.redis.set(`proxy:${HOST}`, JSON.stringify({ target_url: "http://x" }));
    expect(bed.run(...imported()).err).toBe("");
  });
});

describe("gatehouse cert show", () => {
  test("issuer, names, days left, from Redis or a file", async () => {
    bed.run(...imported());
    const facts = {
      hostname: HOST,
      names: [HOST, "*.wild.example.com"],
      days_left: 60,
      problem: null,
      wanted: null,
    };
    expect(bed.json("cert", "show", HOST)).toEqual([
      expect.objectContaining({
        ...facts,
        found: "stored (import)",
        issuer: expect.stringMatching(/^CN=Throw-away CA/),
      }),
    ]);
    expect(bed.json("cert", "show", HOST, "--file", good.certPath)).toEqual([
      expect.objectContaining({ ...facts, found: good.certPath }),
    ]);
    expect(bed.run("cert", "show", HOST, "--file", expired.certPath).out).toContain(`${HOST}: has expired`);
    expect(bed.run("cert", "show", HOST, "--file", foreign.certPath).out).toContain(
      `does not name ${HOST}, expires soon`,
    );
    expect(bed.run("cert", "show", "nobody.example.com")).toMatchObject({
      status: 1,
      err: expect.stringContaining("none is stored"),
    });
    expect(bed.run("cert", "show", HOST, "--file", "/no/file").status).toBe(2);
    expect(bed.run("cert", "show").status).toBe(2);
    expect(bed.run("cert", "show", HOST, "--all").status).toBe(2);
  });

  test("--all is a line for each host and each stored certificate", async () => {
    bed.run(...imported());
    await bed.redis.mset({
      "proxy:acme.example.com": JSON.stringify({ target_url: "http://x" }),
      "proxy:file.example.com": JSON.stringify({ target_url: "http://x", certificate: "file" }),
      "cert:bad.example.com": "not json",
    });
    const all = bed
      .json("cert", "show", "--all")
      .map(({ hostname, wanted, found, problem }) => [hostname, wanted, found, problem]);
    expect(all).toEqual([
      ["acme.example.com", "acme", null, expect.stringContaining("none is stored")],
      ["bad.example.com", null, "stored", "not JSON with fullchain_pem and private_key"],
      ["file.example.com", "file", null, expect.stringContaining("--file")],
      [HOST, null, "stored (import)", null],
    ]);
  });
});

describe("gatehouse cert renew", () => {
  test.each([
    ["there is no host", undefined, /there is no host/],
    ["its certificate is of files", { certificate: "file" }, /has certificate: file.*cert import/],
    ["its certificate is stored by hand", { certificate: "stored" }, /has certificate: stored/],
  ])("asks nobody when %s", async (_what, config, reason) => {
    const document = { target_url: "http://127.0.0.1:3000", ...config };
    if (config !== undefined) await bed.redis.set(`proxy:${HOST}`, JSON.stringify(document));
    expect(bed.run("cert", "renew", HOST)).toMatchObject({
      status: 1,
      out: "",
      err: expect.stringMatching(reason),
    });
    expect(await bed.redis.exists(`acme:renew:${HOST}`)).toBe(0);
  });

  test("--wait 0 asks, for two hours at most, and leaves", async () => {
    await bed.redis.set(`proxy:${HOST}`, JSON.stringify({ target_url: "http://127.0.0.1:3000" }));
    expect(bed.json("cert", "renew", HOST, "--wait", "0")).toEqual([{ hostname: HOST, state: "asked" }]);
    expect(await bed.redis.pttl(`acme:renew:${HOST}`)).toBeGreaterThan(7_100_000);
  });

  test.each(["601", "-1", "soon", ""])("--wait %j is no time", (text) => {
    expect(bed.run("cert", "renew", HOST, "--wait", text)).toMatchObject({ status: 2, out: "" });
  });
});
