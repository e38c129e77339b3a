/** Both processes and the commands under `deploy/redis/users.acl`: they need no more than it gives, and it gives no more than it says. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { closeRedis, openRedis, readyWithin } from "@gatehouse/shared/redis-connection";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";
import { Claude } from "./support/claude.ts";
import { ProtectedGatehouse } from "./support/protected-gatehouse.ts";
import { exchange } from "./support/https-peer.ts";
import { until } from "@gatehouse/testbed/until";
import { UpstreamProcess } from "./support/upstream-process.ts";

const HOST = "simple.localhost";
const EXAMPLE_FILE = join(import.meta.dirname, "../redis/users.acl");
const TIMEOUT_MS = 60_000;

let directory: string;
let upstream: UpstreamProcess;
let server: PrivateRedis;
let bed: ProtectedGatehouse;

/** The file as an operator would make it, with the default user left on for this test's own connection. */
async function users(): Promise<string> {
  const example = await readFile(EXAMPLE_FILE, "utf8");
  return example
    .split("\n")
    .filter((line) => line.startsWith("user "))
    .join("\n")
    .replaceAll("simple.example.com", HOST)
    .replace("user default off", "user default on nopass ~* &* +@all")
    .concat("\n");
}

function urlOf(kind: string, password: string): string {
  return `${server.url}?username=gatehouse-${kind}&password=CHANGE-${password}`;
}

beforeAll(async () => {
  directory = await mkdtemp("/tmp/gatehouse-acl-");
  const aclFile = join(directory, "users.acl");
  await writeFile(aclFile, await users());
  server = await startPrivateRedis({ args: ["--aclfile", aclFile] });
  upstream = await UpstreamProcess.start();
  bed = await ProtectedGatehouse.start([{ hostname: HOST, upstreamUrl: upstream.url }], {
    redisUrl: server.url,
    dispatcherEnv: { REDIS_URL: urlOf("dispatcher", "dispatcher") },
    instanceEnv: { REDIS_URL: urlOf(`instance-${HOST}`, "instance") },
  });
}, TIMEOUT_MS);

afterAll(async () => {
  await bed?.stop();
  await upstream?.kill();
  await server?.stop();
  if (directory !== undefined) await rm(directory, { recursive: true, force: true });
});

test("a login, a token, a refresh, a revocation and a changed config need nothing that is refused", async () => {
  const { gatehouse } = bed;
  const claude = new Claude(bed.fetch, bed.origin(HOST));
  await claude.register();
  const { access_token: token, refresh_token: refreshToken } = await claude.authorize((url) =>
    bed.logIn(url, "octocat"),
  );
  const visit = async (bearer: string) =>
    (
      await exchange(gatehouse, {
        hostname: HOST,
        path: "/hello",
        headers: { authorization: `Bearer ${bearer}` },
      })
    ).status;
  expect(await visit(token)).toBe(200);
  const refreshed = await claude.refresh(refreshToken);
  expect(await visit(refreshed.access_token)).toBe(200);
  expect(await claude.revoke(refreshed.access_token)).toBe(200);
  await until(
    () => visit(refreshed.access_token),
    (status) => status === 401,
  );
  await bed.configure({ hostname: HOST, upstreamUrl: upstream.url, config: { maintenance: true } });
  await until(
    () => visit(token),
    (status) => status === 503,
  );
  // The record goes out in batches; the dispatcher's of these connections are among them.
  await until(
    () => gatehouse.store.zcard("log:segments"),
    (segments) => segments > 0,
  );
  expect(await gatehouse.store.call("ACL", "LOG")).toEqual([]);
});

test.each([
  ["status"],
  ["host", "list"],
  ["host", "show", HOST],
  ["route", "list"],
  ["token", "list"],
  ["grant", "list"],
  ["client", "list"],
  ["cert", "show", HOST],
  ["log", "status", "4xx"],
  ["config", "export", "hosts.json"],
  ["backup", "gatehouse.backup"],
  ["host", "set", HOST, "--set", "maintenance=false"],
])("the operator's `gatehouse %s %s` works", async (...words) => {
  const command = join(import.meta.dirname, "../../scripts/gatehouse");
  const env = { PATH: process.env["PATH"], REDIS_URL: urlOf("operator", "operator") };
  const { stdout, stderr } = await promisify(execFile)(command, [...words, "--json"], {
    env,
    cwd: directory,
  });
  expect(stdout + stderr).not.toContain("NOPERM");
  expect(await bed.gatehouse.store.call("ACL", "LOG")).toEqual([]);
});

test.each([
  { kind: "dispatcher", command: ["get", `proxy:${HOST}`] },
  { kind: "dispatcher", command: ["get", `oauth:key:${HOST}`] },
  { kind: "dispatcher", command: ["set", `route:${HOST}`, "1"] },
  { kind: "dispatcher", command: ["keys", "*"] },
  { kind: "dispatcher", command: ["config", "get", "*"] },
  { kind: "instance", command: ["set", `route:${HOST}`, "1"] },
  { kind: "instance", command: ["set", `proxy:${HOST}`, "{}"] },
  { kind: "instance", command: ["get", "cert:other.localhost"] },
  { kind: "instance", command: ["get", "proxy:other.localhost"] },
  { kind: "instance", command: ["flushall"] },
  { kind: "instance", command: ["acl", "list"] },
  { kind: "operator", command: ["flushall"] },
  { kind: "operator", command: ["shutdown"] },
  { kind: "operator", command: ["acl", "setuser", "x"] },
])("$kind may not $command", async ({ kind, command: [name = "", ...args] }) => {
  const url = urlOf(kind === "instance" ? `instance-${HOST}` : kind, kind);
  const redis = openRedis({ url, clientName: "test" });
  await readyWithin(redis, 5000);
  await expect(redis.call(name, ...args)).rejects.toThrow("NOPERM");
  await closeRedis(redis);
});
