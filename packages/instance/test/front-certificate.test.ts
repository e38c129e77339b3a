import { once } from "node:events";
import { mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { X509Certificate } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { SealingKeys } from "@gatehouse/shared/sealing";
import type { IssuedCertificate } from "@gatehouse/testbed/certificate-authority";
import { until } from "@gatehouse/testbed/until";
import { HOSTNAME, openBed, type Bed, type Front } from "./support/front-bed.ts";

let bed: Bed;
let directory: string;
let count = 0;

beforeAll(async () => {
  bed = await openBed();
});
afterAll(() => bed.close());
beforeEach(async () => {
  directory = join(bed.directory, `files-${++count}`);
  await mkdir(directory);
  await bed.store.del(`cert:${HOSTNAME}`);
  await bed.configure();
});

/** A certificate of its own each time, so that serial numbers tell them apart. */
async function issue(names: readonly string[] = [HOSTNAME]): Promise<IssuedCertificate> {
  return bed.authority.issue(names);
}

const certificatePath = (): string => join(directory, "cert.pem");
const keyPath = (): string => join(directory, "cert.key");

/** As careful tools do: a new file, renamed over the old one. */
async function replace(path: string, content: string): Promise<void> {
  await writeFile(`${path}.new`, content);
  await rename(`${path}.new`, path);
}

async function startWithFiles(issued: IssuedCertificate): Promise<Front> {
  await writeFile(certificatePath(), issued.certPem);
  await writeFile(keyPath(), issued.keyPem);
  return bed.start({
    GATEHOUSE_CERTIFICATE_FILE: certificatePath(),
    GATEHOUSE_CERTIFICATE_KEY_FILE: keyPath(),
  });
}

const serial = (pem: string): string => new X509Certificate(pem).serialNumber;

async function servedSerial(front: Front): Promise<string> {
  const socket = await front.connect({ rejectUnauthorized: false });
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

function stored(issued: IssuedCertificate, key = bed.secretKey, name = `cert:${HOSTNAME}`): string {
  const keys = SealingKeys.parse(key, [])?.forHostname(HOSTNAME as never);
  return JSON.stringify({
    fullchain_pem: issued.certPem,
    private_key: keys?.seal(name, issued.keyPem),
    expires_at: 1_900_000_000,
    source: "import",
  });
}

describe("from files", () => {
  test("a renewal is taken without a signal, and drops no connection", async () => {
    const [first, second] = [await issue(), await issue()];
    const front = await startWithFiles(first);
    const open = await front.connect();
    expect(await servedSerial(front)).toBe(serial(first.certPem));
    await replace(certificatePath(), second.certPem);
    await replace(keyPath(), second.keyPem);
    await until(async () => (await servedSerial(front)) === serial(second.certPem));
    expect(open.closed).toBe(false);
    open.destroy();
    expect(front.records.filter(({ event }) => event === "certificate_bad")).toEqual([]);
  });

  test("HUP reads them too", async () => {
    const [first, second] = [await issue(), await issue()];
    const front = await startWithFiles(first);
    await writeFile(certificatePath(), second.certPem);
    await writeFile(keyPath(), second.keyPem);
    front.instance.reload();
    await until(async () => (await servedSerial(front)) === serial(second.certPem));
  });

  test("symbolic links that are replaced, as certbot and Kubernetes do, are followed", async () => {
    const [first, second] = [await issue(), await issue()];
    for (const [name, issued] of [
      ["one", first],
      ["two", second],
    ] as const) {
      await mkdir(join(directory, name));
      await writeFile(join(directory, name, "cert.pem"), issued.certPem);
      await writeFile(join(directory, name, "cert.key"), issued.keyPem);
    }
    await symlink("one", join(directory, "current"));
    await symlink("current/cert.pem", certificatePath());
    await symlink("current/cert.key", keyPath());
    const front = await bed.start({
      GATEHOUSE_CERTIFICATE_FILE: certificatePath(),
      GATEHOUSE_CERTIFICATE_KEY_FILE: keyPath(),
    });
    expect(await servedSerial(front)).toBe(serial(first.certPem));
    await symlink("two", join(directory, "next"));
    await rename(join(directory, "next"), join(directory, "current"));
    await until(async () => (await servedSerial(front)) === serial(second.certPem));
  });

  test("a certificate without its key waits for the key; the last good one serves meanwhile", async () => {
    const [first, second] = [await issue(), await issue()];
    const front = await startWithFiles(first);
    await replace(certificatePath(), second.certPem);
    await delay(300); // the time in which the files are read, and the half pair must not be taken
    expect(await servedSerial(front)).toBe(serial(first.certPem));
    await replace(keyPath(), second.keyPem);
    await until(async () => (await servedSerial(front)) === serial(second.certPem));
    expect(front.records.filter(({ event }) => event === "certificate_bad")).toEqual([]);
  });

  test.each([
    ["that never match", async () => (await issue()).certPem, /private key is not that of the certificate/],
    [
      "for another name",
      async () => (await issue(["b.example"])).certPem,
      /does not name a\.example|not that of/,
    ],
    ["that are no PEM", async () => "nonsense", /is not PEM/],
  ])("files %s leave the last good one, are recorded and shown", async (_what, content, problem) => {
    const first = await issue();
    const front = await startWithFiles(first);
    await replace(certificatePath(), await content());
    const record = await front.record(({ event }) => event === "certificate_bad");
    expect(record.message).toMatch(problem);
    expect(await servedSerial(front)).toBe(serial(first.certPem));
    expect((await front.health()).report["certificate"]).toMatchObject({
      source: "file",
      problems: { file: expect.stringMatching(problem) },
    });
    expect(JSON.stringify(front.records)).not.toContain("PRIVATE KEY");
  });
});

describe("from Redis", () => {
  test("a stored certificate is taken as soon as it is written", async () => {
    const [file, first, second] = [await issue(), await issue(), await issue()];
    await bed.configure({ certificate: "stored" });
    await bed.store.set(`cert:${HOSTNAME}`, stored(first));
    const front = await startWithFiles(file);
    expect(await servedSerial(front)).toBe(serial(first.certPem));
    await bed.store.set(`cert:${HOSTNAME}`, stored(second));
    await until(async () => (await servedSerial(front)) === serial(second.certPem));
  });

  test.each([
    [
      "sealed with another key",
      async () => stored(await issue(), SealingKeys.parse("A".repeat(43), []) && "A".repeat(43)),
    ],
    ["moved here from another host", async () => stored(await issue(), bed.secretKey, "cert:b.example")],
    [
      "with its key in clear",
      async () =>
        JSON.stringify({ fullchain_pem: (await issue()).certPem, private_key: (await issue()).keyPem }),
    ],
    ["that is no document", async () => "{"],
  ])("one %s leaves the last good one", async (_what, document) => {
    const first = await issue();
    await bed.configure({ certificate: "stored" });
    await bed.store.set(`cert:${HOSTNAME}`, stored(first));
    const front = await startWithFiles(await issue());
    await bed.store.set(`cert:${HOSTNAME}`, await document());
    await front.record(({ event }) => event === "certificate_bad");
    expect(await servedSerial(front)).toBe(serial(first.certPem));
    expect(JSON.stringify(front.records)).not.toContain("PRIVATE KEY");
  });
});

describe("which one", () => {
  test("acme, without an authority to ask: the stored one, else the files", async () => {
    const [file, inRedis] = [await issue(), await issue()];
    await bed.configure({ certificate: "acme" });
    const front = await startWithFiles(file);
    expect(await servedSerial(front)).toBe(serial(file.certPem));
    await bed.store.set(`cert:${HOSTNAME}`, stored(inRedis));
    await until(async () => (await servedSerial(front)) === serial(inRedis.certPem));
  });

  test("none at all: a self-signed one stands in, says so, and makes room for the first real one", async () => {
    const real = await issue();
    await bed.configure({ certificate: "acme" });
    const front = await bed.start({ GATEHOUSE_CERTIFICATE_FILE: "", GATEHOUSE_CERTIFICATE_KEY_FILE: "" });
    await front.record(
      ({ event, message }) => event === "certificate_bad" && /stands in/.test(message ?? ""),
    );
    await expect(front.connect()).rejects.toMatchObject({ code: "DEPTH_ZERO_SELF_SIGNED_CERT" });
    const insecure = await front.connect({ rejectUnauthorized: false });
    expect(insecure.getPeerCertificate().subjectaltname).toBe(`DNS:${HOSTNAME}`);
    insecure.destroy();
    await bed.store.set(`cert:${HOSTNAME}`, stored(real));
    await until(async () => (await servedSerial(front)) === serial(real.certPem));
    expect((await front.get("/")).status).toBe(200);
  });

  test("a change of the host config's choice is followed; a good one goes on when the new choice has none", async () => {
    const [file, inRedis] = [await issue(), await issue()];
    const front = await startWithFiles(file);
    await bed.configure({ certificate: "stored" });
    await delay(100); // the time in which a change is applied, and nothing may happen
    expect(await servedSerial(front)).toBe(serial(file.certPem));
    await bed.store.set(`cert:${HOSTNAME}`, stored(inRedis));
    await until(async () => (await servedSerial(front)) === serial(inRedis.certPem));
    await bed.configure({ certificate: "file" });
    await until(async () => (await servedSerial(front)) === serial(file.certPem));
  });
});

test("files that go away leave the last good one", async () => {
  const first = await issue();
  const front = await startWithFiles(first);
  await rm(certificatePath());
  await front.record(({ event }) => event === "certificate_bad");
  const socket = await front.connect();
  const ended = once(socket, "close");
  socket.destroy();
  await ended;
  expect(await servedSerial(front)).toBe(serial(first.certPem));
});
