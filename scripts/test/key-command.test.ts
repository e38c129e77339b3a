/** `gatehouse key derive`: files for the units, from the root key. */
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { parseHostname, type Hostname } from "@gatehouse/shared/hostname";
import { newSecretKey, SealingKeys } from "@gatehouse/shared/sealing";
import { runScript, type Ran } from "./support/command-bed.ts";

const HOST = "simple.example.com";
const [root, former] = [newSecretKey(), newSecretKey()];
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp("/tmp/gatehouse-test-");
});
afterAll(() => rm(directory, { recursive: true, force: true }));

function derive(host: string, env: Record<string, string>): Ran {
  const args = ["key", "derive", host, "--directory", directory, "--json"];
  return runScript("gatehouse", args, { PATH: process.env["PATH"], ...env });
}

function nameOf(text: string): Hostname {
  const parsed = parseHostname(text);
  if (!parsed.ok) throw new Error(`${text} is no hostname`);
  return parsed.hostname;
}

/** As an instance reads its two credentials. */
async function keysIn(host: string): Promise<SealingKeys | undefined> {
  const read = async (name: string): Promise<string> =>
    (await readFile(join(directory, host, name), "utf8")).trim();
  const old = (await read("GATEHOUSE_SECRET_KEYS_OLD")).split(",").filter((key) => key !== "");
  return SealingKeys.parse(await read("GATEHOUSE_SECRET_KEY"), old);
}

describe("gatehouse key derive", () => {
  test("writes keys that open what the root keys sealed for this host, and nothing of another", async () => {
    const ran = derive(HOST, { GATEHOUSE_SECRET_KEY: root, GATEHOUSE_SECRET_KEYS_OLD: former });
    expect(ran).toMatchObject({ status: 0, err: "" });
    expect(JSON.parse(ran.out)).toEqual({ hostname: HOST, directory: join(directory, HOST) });
    const keys = await keysIn(HOST);
    const own = keys?.forHostname(nameOf(HOST));
    for (const key of [root, former]) {
      const sealedFor = (host: string): string =>
        SealingKeys.parse(key, [])?.forHostname(nameOf(host))?.seal("cert:x", "secret") ?? "";
      expect(own?.open("cert:x", sealedFor(HOST))?.toString()).toBe("secret");
      expect(own?.open("cert:x", sealedFor("other.example.com"))).toBeUndefined();
    }
    expect(keys?.forHostname(nameOf("other.example.com"))).toBeUndefined();
    for (const name of ["GATEHOUSE_SECRET_KEY", "GATEHOUSE_SECRET_KEYS_OLD"]) {
      const text = await readFile(join(directory, HOST, name), "utf8");
      expect(text).not.toContain(root);
      expect(ran.out).not.toContain(text.trim().split(":").at(-1));
      expect((await stat(join(directory, HOST, name))).mode & 0o777).toBe(0o600);
    }
    expect((await stat(join(directory, HOST))).mode & 0o777).toBe(0o700);
  });

  test("writes the same again, and no former key where there is none", async () => {
    expect(derive(HOST, { GATEHOUSE_SECRET_KEY: root })).toMatchObject({ status: 0 });
    const first = await readFile(join(directory, HOST, "GATEHOUSE_SECRET_KEY"), "utf8");
    expect(derive(HOST, { GATEHOUSE_SECRET_KEY: root })).toMatchObject({ status: 0 });
    expect(await readFile(join(directory, HOST, "GATEHOUSE_SECRET_KEY"), "utf8")).toBe(first);
    expect((await readFile(join(directory, HOST, "GATEHOUSE_SECRET_KEYS_OLD"), "utf8")).trim()).toBe("");
  });

  test("has nothing to derive from another host's key, from none, or for what is no hostname", () => {
    const other = SealingKeys.parse(root, [])?.forHostname(nameOf("other.example.com"))?.texts().current;
    expect(derive(HOST, { GATEHOUSE_SECRET_KEY: other ?? "" })).toMatchObject({ status: 2, out: "" });
    expect(derive(HOST, {})).toMatchObject({ status: 78, out: "" });
    expect(derive("../etc", { GATEHOUSE_SECRET_KEY: root })).toMatchObject({ status: 2, out: "" });
  });
});
