/** Both processes and every command on a Redis Cluster, and what a master that dies costs. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { newSecretKey } from "@gatehouse/shared/sealing";
import { startPrivateRedisCluster, type PrivateRedisCluster } from "@gatehouse/testbed/private-redis-cluster";
import { Claude } from "./support/claude.ts";
import { isRouted, Traffic } from "./support/cluster-traffic.ts";
import { exchange } from "./support/https-peer.ts";
import { ProtectedGatehouse } from "./support/protected-gatehouse.ts";
import { until } from "@gatehouse/testbed/until";
import { UpstreamProcess } from "./support/upstream-process.ts";

const PROTECTED = "simple-oauth.localhost";
const OPEN = "open.localhost";
const TIMEOUT_MS = 60_000;
/** The contract's bound for a change to be in force. */
const IN_FORCE_MS = 1000;
/** From the promotion of a replica to the end of every failure. */
const RECOVERED_MS = 5000;
/** Enough names for each master to have some. */
const NAMES = Array.from({ length: 12 }, (_, n) => `route-${n}.localhost`);

const run = promisify(execFile);
const secretKey = newSecretKey();
let upstream: UpstreamProcess;
let cluster: PrivateRedisCluster;
let bed: ProtectedGatehouse;
let directory: string;
/** Where every route of this test leads. */
let target: string;

beforeAll(async () => {
  directory = await mkdtemp("/tmp/gatehouse-test-");
  [upstream, cluster] = await Promise.all([
    UpstreamProcess.start(),
    startPrivateRedisCluster({ replicas: 1 }),
  ]);
  const many = "6000";
  bed = await ProtectedGatehouse.start([{ hostname: PROTECTED, upstreamUrl: upstream.url }], {
    redisUrl: cluster.url,
    instanceEnv: {
      GATEHOUSE_SECRET_KEY: secretKey,
      GATEHOUSE_REGISTRATIONS_PER_MINUTE: many,
      GATEHOUSE_REGISTRATIONS_PER_REDIRECT_HOST_PER_MINUTE: many,
    },
  });
  await bed.gatehouse.addHost({ hostname: OPEN, upstreamUrl: upstream.url });
  target = (await bed.gatehouse.store.get(`route:${OPEN}`)) ?? "";
}, TIMEOUT_MS);

afterAll(async () => {
  await bed?.stop();
  await cluster?.stop();
  await upstream?.kill();
  await rm(directory, { recursive: true, force: true });
});

/** Runs a command on the Cluster; returns what `--json` prints. The doctor's failures are no failure of the command. */
async function gatehouse(...args: string[]): Promise<Record<string, unknown>[]> {
  const launcher = join(import.meta.dirname, "../../scripts/gatehouse");
  const env = { PATH: process.env["PATH"], REDIS_URL: cluster.url, GATEHOUSE_SECRET_KEY: secretKey };
  const { stdout } = await run(launcher, [...args, "--json"], { env }).catch((error: unknown) => {
    if (args[0] === "doctor" && error instanceof Error && "stdout" in error)
      return { stdout: String(error.stdout) };
    throw error;
  });
  const lines = stdout.split("\n").filter((line) => line !== "");
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

async function logIn(): Promise<{ clientId: string; token: string; refresh: () => Promise<number> }> {
  const claude = new Claude(bed.fetch, bed.origin(PROTECTED));
  const registered = await claude.register();
  if (registered.status !== 201) throw new Error(`registration: ${registered.status}`);
  const tokens = await claude.authorize((url) => bed.logIn(url, "octocat"));
  if (tokens.status !== 200) throw new Error(`token: ${tokens.status}`);
  return {
    clientId: String(claude.client["client_id"]),
    token: tokens.access_token,
    refresh: async () => (await claude.refresh(tokens.refresh_token)).status,
  };
}

async function ask(token: string): Promise<number> {
  const headers = { authorization: `Bearer ${token}` };
  return (await bed.fetch(`${bed.origin(PROTECTED)}/hello`, { headers })).status;
}

/** Resolves when every name is routed, or none is, within the bound. */
async function inForce(isThere: boolean, withinMs: number = IN_FORCE_MS): Promise<void> {
  await until(
    () => Promise.all(NAMES.map((name) => isRouted(bed.gatehouse, name))),
    (found) => found.every((one) => one === isThere),
    withinMs,
  );
}

test(
  "people log in and tokens are checked; routes are live, wherever their keys lie",
  async () => {
    const session = await logIn();
    expect(await ask(session.token)).toBe(200);
    expect(await session.refresh()).toBe(200);
    await Promise.all(NAMES.map((name) => bed.gatehouse.store.set(`route:${name}`, target)));
    await inForce(true);
    for (const name of NAMES) await bed.gatehouse.store.del(`route:${name}`);
    await inForce(false);
  },
  TIMEOUT_MS,
);

test(
  "every command sees and changes what lies on every master",
  async () => {
    const { clientId, token } = await logIn();
    const [status] = await gatehouse("status");
    expect(status).toMatchObject({
      redis: { servers: 3, maxmemory_policy: "noeviction" },
      dispatcher: true,
      names: [
        { name: OPEN, instance: true, problems: [] },
        { name: PROTECTED, instance: true },
      ],
    });
    expect(await gatehouse("host", "list")).toHaveLength(2);
    expect(await gatehouse("client", "list", "--client", clientId)).toHaveLength(1);
    const [held] = await gatehouse("token", "list", "--client", clientId);
    expect(await gatehouse("grant", "list", "--client", clientId)).toHaveLength(1);
    await gatehouse("route", "set", "added.localhost", target);
    expect(await isRouted(bed.gatehouse, "added.localhost")).toBe(true);
    const saved = join(directory, "backup");
    await gatehouse("backup", saved);
    await gatehouse("token", "revoke", String(held?.["jti"]));
    await until(
      () => ask(token),
      (code) => code === 401,
      IN_FORCE_MS,
    );
    await gatehouse("route", "remove", "added.localhost", "--yes");
    const [restored] = await gatehouse("restore", saved, "--force");
    const keys = (await cluster.keys()).filter((key) => !key.startsWith("log:"));
    expect(restored).toMatchObject({ keys: keys.length });
    await until(
      () => ask(token),
      (code) => code === 200,
      IN_FORCE_MS,
    );
    expect(await isRouted(bed.gatehouse, "added.localhost")).toBe(true);
    const hosts = join(directory, "hosts.json");
    await gatehouse("config", "export", hosts);
    expect(await gatehouse("config", "apply", hosts, "--dry-run")).toEqual([]);
    await gatehouse("client", "revoke", clientId);
    await until(
      () => ask(token),
      (code) => code === 401,
      IN_FORCE_MS,
    );
    const records = await gatehouse("log", "hostname", PROTECTED);
    expect(records.length).toBeGreaterThan(5);
  },
  TIMEOUT_MS,
);

test(
  "hosts, keys and certificates are changed, and the doctor finds what is stored",
  async () => {
    await gatehouse("host", "add", "more.localhost", "--target", upstream.url, "--port");
    await gatehouse("host", "set", "more.localhost", "--set", "maintenance=true");
    expect(await gatehouse("host", "show", "more.localhost")).toMatchObject([
      { route: "13000", config: { maintenance: true } },
    ]);
    const { certPath, keyPath } = await bed.gatehouse.authority.issue(["more.localhost"]);
    await gatehouse("cert", "import", "more.localhost", "--chain", certPath, "--key", keyPath);
    expect(await gatehouse("cert", "show", "more.localhost")).toMatchObject([{ found: "stored (import)" }]);
    await gatehouse("host", "remove", "more.localhost", "--yes", "--purge");
    expect((await cluster.keys()).filter((key) => key.includes("more.localhost"))).toEqual([]);

    const { token } = await logIn();
    await gatehouse("key", "rotate", PROTECTED);
    expect(await ask(token)).toBe(200);
    expect(await ask((await logIn()).token)).toBe(200);
    const place = ["--address", `127.0.0.1:${bed.gatehouse.port}`, "--ca", bed.gatehouse.caPath];
    const steps = await gatehouse("doctor", PROTECTED, ...place);
    for (const step of ["config.host", "config.route", "config.target", "record.arrival"])
      expect(steps.find(({ id }) => id === step)).toMatchObject({ outcome: "pass" });
  },
  TIMEOUT_MS,
);

test(
  "a master that dies costs logins and new routes until its replica is promoted, and nothing that was acknowledged",
  async () => {
    const { store } = bed.gatehouse;
    const known = await logIn();
    const requests = new Traffic(10, async (n) => {
      const status =
        n % 2 === 0 ? (await exchange(bed.gatehouse, { hostname: OPEN, path: `/${n}` })).status : 0;
      return { outcome: String(status === 404 ? 200 : status || (await ask(known.token))), id: "" };
    });
    const registrations = new Traffic(10, async () => {
      const claude = new Claude(bed.fetch, bed.origin(PROTECTED));
      const { status } = await claude.register();
      return { outcome: String(status), id: String(claude.client["client_id"]) };
    });
    const logins = new Traffic(50, async () => ({ outcome: "done", id: (await logIn()).token }));
    const routes = new Traffic(10, async (n) => {
      const name = `under-way-${n}.localhost`;
      return { outcome: (await store.set(`route:${name}`, target)) ?? "", id: name };
    });
    const all = [requests, registrations, logins, routes];
    await until(
      () => Math.min(...all.map(({ attempts }) => attempts.length)),
      (count) => count >= 10,
    );
    // What was acknowledged before this has reached the replica. The moment from here to the end of the master may cost what Redis
    // had not passed on yet: it replicates asynchronously, and nobody waits for it.
    await cluster.operators[0]?.wait(1, 1000);
    const replicated = performance.now();
    await cluster.servers[0]?.kill();
    const killed = performance.now();
    await cluster.failOver(0);
    const promoted = performance.now();
    await delay(RECOVERED_MS);
    await Promise.all(all.map((traffic) => traffic.stop()));

    expect(Object.keys(requests.outcomes)).toEqual(["200"]);
    expect(Object.keys(registrations.outcomes).sort()).toEqual(["201", "503"]);
    const failedForMs = {
      registrations: registrations.failedFor(promoted, "201"),
      logins: logins.failedFor(promoted, "done"),
      routes: routes.failedFor(promoted, "OK"),
    };
    expect(Math.max(...Object.values(failedForMs))).toBeLessThan(RECOVERED_MS / 2);
    const lost = [
      ...(await registrations.lost("201", (id) => store.exists(`oauth:client:${id}`))),
      ...(await logins.lost("done", async (token) => (await ask(token)) === 200)),
      ...(await routes.lost("OK", (name) => isRouted(bed.gatehouse, name))),
    ];
    expect(lost.filter(({ ended }) => ended < replicated || ended > killed)).toEqual([]);

    await Promise.all(NAMES.map((name) => store.set(`route:${name}`, target)));
    await inForce(true);
    await Promise.all(NAMES.map((name) => store.del(`route:${name}`)));
    await inForce(false);
    const { instances, dispatcher } = { instances: [PROTECTED, OPEN], dispatcher: bed.gatehouse.dispatcher };
    for (const one of [dispatcher, ...instances.map((name) => bed.gatehouse.instance(name))])
      expect([one.isRunning, one.complaints]).toEqual([true, ""]);
  },
  TIMEOUT_MS,
);
