/** What an operator types, against both tiers as processes: the real command, a host that it added, people and clients that it ends. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { newSecretKey } from "@gatehouse/shared/sealing";
import { Claude } from "./support/claude.ts";
import { GatehouseProcess } from "./support/gatehouse-process.ts";
import { exchange, openStream } from "./support/https-peer.ts";
import { ProtectedGatehouse } from "./support/protected-gatehouse.ts";
import { until } from "@gatehouse/testbed/until";

const PROTECTED = "simple-oauth.localhost";
const ADDED = "added.localhost";
const TIMEOUT_MS = 60_000;
/** The contract's bound for a change to be in force. */
const IN_FORCE_MS = 1000;

const secretKey = newSecretKey();
let bed: ProtectedGatehouse;
let upstream: Server;
let upstreamUrl: string;
let directory: string;
let instance: GatehouseProcess;

beforeAll(async () => {
  upstream = createServer((request, response) => answer(request.url ?? "", response));
  upstream.listen(0, "127.0.0.1");
  await once(upstream, "listening");
  upstreamUrl = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
  directory = await mkdtemp("/tmp/gatehouse-test-");
  bed = await ProtectedGatehouse.start([{ hostname: PROTECTED, upstreamUrl }]);
  instance = new GatehouseProcess({
    role: ADDED,
    tier: "instance",
    env: {
      REDIS_URL: bed.gatehouse.redis.url,
      GATEHOUSE_HOSTNAME: ADDED,
      GATEHOUSE_SECRET_KEY: secretKey,
      GATEHOUSE_STATE_DIR: directory,
      GATEHOUSE_PUBLIC_PORT: String(bed.gatehouse.port),
      GATEHOUSE_INSTANCE_DRAIN_SECONDS: "1",
    },
  });
}, TIMEOUT_MS);

afterAll(async () => {
  await instance?.stop();
  await bed?.stop();
  upstream?.closeAllConnections();
  upstream?.close();
  await rm(directory, { recursive: true, force: true });
});

function answer(url: string, response: ServerResponse): void {
  if (url !== "/stream") {
    response.end(`hello ${url}`);
    return;
  }
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write("data: one\n\n");
}

/** Runs the launcher beside this process, which is the upstream; returns what `--json` prints. */
async function gatehouse(...args: string[]): Promise<Record<string, unknown>[]> {
  const launcher = join(import.meta.dirname, "../../scripts/gatehouse");
  const env = {
    PATH: process.env["PATH"],
    REDIS_URL: bed.gatehouse.redis.url,
    GATEHOUSE_SECRET_KEY: secretKey,
    GATEHOUSE_SOCKET_DIR: join(directory, "run"),
  };
  const out = await new Promise<string>((resolve, reject) => {
    execFile(launcher, [...args, "--json"], { env }, (error, stdout, stderr) =>
      error ? reject(new Error(`${args.join(" ")}: ${stderr}`, { cause: error })) : resolve(stdout),
    );
  });
  const lines = out.split("\n").filter((line) => line !== "");
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

async function statusOf(path: string): Promise<number> {
  return (await exchange(bed.gatehouse, { hostname: ADDED, path })).status;
}

test(
  "a host is added, changed, and removed; nothing else is restarted",
  async () => {
    await gatehouse("host", "add", ADDED, "--target", upstreamUrl, "--certificate", "stored");
    const { certPath, keyPath } = await bed.gatehouse.authority.issue([ADDED]);
    await instance.start();
    expect(await gatehouse("cert", "show", ADDED)).toEqual([
      expect.objectContaining({ problem: expect.stringContaining("self-signed") }),
    ]);
    await gatehouse("cert", "import", ADDED, "--chain", certPath, "--key", keyPath);
    await until(
      () => statusOf("/"),
      (code) => code === 200,
      IN_FORCE_MS,
    );
    expect(await exchange(bed.gatehouse, { hostname: ADDED, path: "/there" })).toMatchObject({
      status: 200,
      body: "hello /there",
    });

    const [status] = await gatehouse("status");
    expect(status).toMatchObject({
      dispatcher: true,
      names: expect.arrayContaining([expect.objectContaining({ name: ADDED, instance: true, problems: [] })]),
    });

    // The other host has its certificate from files, which nobody but its instance knows of.
    expect(await gatehouse("cert", "show", "--all")).toEqual([
      expect.objectContaining({ hostname: ADDED, found: "stored (import)", names: [ADDED] }),
      expect.objectContaining({
        hostname: PROTECTED,
        wanted: "file",
        found: expect.stringMatching(/^served at unix:/),
        names: [PROTECTED],
        days_left: 7,
      }),
    ]);

    await gatehouse("host", "set", ADDED, "--set", "maintenance=true");
    await until(
      async () => await statusOf("/"),
      (code) => code === 503,
      IN_FORCE_MS,
    );
    await gatehouse("host", "set", ADDED, "--unset", "maintenance");
    await until(
      async () => await statusOf("/"),
      (code) => code === 200,
      IN_FORCE_MS,
    );

    const stream = await openStream(bed.gatehouse, { hostname: ADDED, path: "/stream" });
    let isEnded = false;
    stream.resume().once("close", () => (isEnded = true));
    await gatehouse("host", "remove", ADDED, "--yes");
    await expect(statusOf("/")).rejects.toThrow(/unrecognized name|alert number 112/i);
    await until(() => isEnded, Boolean, IN_FORCE_MS);
    expect(await gatehouse("host", "remove", ADDED, "--yes")).toEqual([
      expect.objectContaining({ removed: false }),
    ]);
    expect(instance.complaints).toBe("");
  },
  TIMEOUT_MS,
);

describe("people and clients", () => {
  /** Registers a client and logs a person in; asks with the token that comes of it. */
  async function connected(login: string): Promise<{ clientId: string; ask: () => Promise<number> }> {
    const claude = new Claude(bed.fetch, bed.origin(PROTECTED));
    await claude.register();
    const tokens = await claude.authorize((url) => bed.logIn(url, login));
    const headers = { authorization: `Bearer ${tokens.access_token}` };
    const ask = async (): Promise<number> =>
      (await bed.fetch(`${bed.origin(PROTECTED)}/mcp`, { headers })).status;
    expect(await ask()).toBe(200);
    return { clientId: String(claude.client["client_id"]), ask };
  }

  test(
    "what they were granted is listed, and ends within a second when it is revoked",
    async () => {
      const one = await connected("octocat");
      const two = await connected("hubot");
      const [token] = await gatehouse("token", "list", "--user", "octocat");
      expect(token).toMatchObject({ hostname: PROTECTED, sub: "octocat", client_id: one.clientId });
      expect(await gatehouse("client", "list", "--user", "octocat")).toEqual([
        expect.objectContaining({ client_id: one.clientId, client_name: "Claude", usage_count: 1 }),
      ]);
      const [grant] = await gatehouse("grant", "list", "--client", two.clientId);
      expect(grant).toMatchObject({ user: "hubot", uid: token && expect.stringMatching(/^github:\d+$/) });
      const [shown] = await gatehouse("grant", "show", String(grant?.["grant_id"]));
      expect(shown).toMatchObject({ holds: { token: 1, refresh: 1 }, scope: expect.stringContaining("mcp") });

      await gatehouse("token", "revoke", String(token?.["jti"]));
      await until(one.ask, (code) => code === 401, IN_FORCE_MS);
      expect(await two.ask()).toBe(200);
      await gatehouse("grant", "revoke", "--user", "hubot", "--yes");
      await until(two.ask, (code) => code === 401, IN_FORCE_MS);

      const three = await connected("octocat");
      await gatehouse("client", "revoke", three.clientId);
      await until(three.ask, (code) => code === 401, IN_FORCE_MS);
      expect(await gatehouse("client", "list", "--client", three.clientId)).toEqual([]);
    },
    TIMEOUT_MS,
  );
});
