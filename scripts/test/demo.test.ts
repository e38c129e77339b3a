import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { createServer as createHttpServer } from "node:http";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { startPrivateRedis } from "@gatehouse/testbed/private-redis";
import { Peer } from "../demo/peer.ts";
import { until } from "@gatehouse/testbed/until";
import { demoFile, isAlive, startDemo } from "./demo-run.ts";

const REDIS_CLI = join(import.meta.dirname, "../redis");
const GATEHOUSE = join(import.meta.dirname, "../gatehouse");
const STOP = join(import.meta.dirname, "../demo/stop.ts");
const TIMEOUT_MS = 120_000;

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "gatehouse-demo-"));
});
afterAll(async () => {
  // A detached demo outlives a test that failed before its own demo:stop.
  stopDemo(join(directory, "detached"));
  await rm(directory, { recursive: true, force: true });
});

function stopDemo(stateDir: string): { status: number | null; stdout: string } {
  return spawnSync(process.execPath, [STOP, "--state-dir", stateDir], { encoding: "utf8" });
}

describe("npm run demo", () => {
  test(
    "--once runs through every step with an exported REDIS_URL that leads nowhere, and leaves nothing running",
    async () => {
      const stateDir = join(directory, "once");
      const run = startDemo(["--once", "--state-dir", stateDir], { REDIS_URL: "redis://127.0.0.1:1" });
      expect([await run.ended, run.output()]).toEqual([0, expect.stringContaining("ping - ")]);
      expect(run.output()).toContain("simple.localhost, stateless 2026-07-28: 4 tools");
      expect(run.output()).toContain("fast-echo.localhost, session-based: 4 tools");
      expect(run.output()).toContain("TLS alert 112");
      expect(run.output()).toMatch(
        /\[dispatcher\] ● \[INFO\] connection ended: .*\n +Client: 127\.0\.0\.42 → Proxy: /,
      );
      expect(existsSync(join(stateDir, "demo.json"))).toBe(false);
      expect((await readdir(join(stateDir, "logs"))).toSorted()).toEqual([
        "dispatcher.log",
        "fast-echo.localhost.log",
        "simple-oauth.localhost.log",
        "simple.localhost.log",
      ]);
    },
    TIMEOUT_MS,
  );

  test(
    "two demos started at once run side by side although the preferred ports are taken",
    async () => {
      const taken = await takePorts([8443, 13_001]);
      const dirs = [join(directory, "left"), join(directory, "right")];
      const runs = dirs.map((stateDir) => startDemo(["--state-dir", stateDir]));
      try {
        const files = await Promise.all(dirs.map((dir, i) => demoFile(dir, runs[i])));
        const ports = files.flatMap((file) => [
          file.dispatcher.port,
          ...Object.values(file.hosts).map(({ port }) => port),
        ]);
        expect(new Set(ports).size).toBe(8);
        expect(ports).not.toContain(8443);
        expect(ports).not.toContain(13_001);
        for (const file of files)
          expect(file.hosts["simple.localhost"]?.origin).toBe(
            `https://simple.localhost:${file.dispatcher.port}`,
          );
        expect(new Set(files.map(({ redis_url }) => redis_url)).size).toBe(2);
      } finally {
        for (const { child } of runs) child.kill("SIGTERM");
        await Promise.all(runs.map(({ ended }) => ended));
        for (const server of taken) server.close();
      }
    },
    TIMEOUT_MS,
  );

  test(
    "--detach leaves a demo that serves until demo:stop, and a second one with its directory is refused",
    async () => {
      const stateDir = join(directory, "detached");
      const run = startDemo(["--detach", "--state-dir", stateDir]);
      const ends = `\nnpm run demo:stop -- --state-dir ${stateDir} ends it\n`;
      expect([await run.ended, run.output()]).toEqual([0, expect.stringContaining(ends)]);
      const file = await demoFile(stateDir);
      const hostnames = ["simple-oauth.localhost", "simple.localhost", "fast-echo.localhost"];
      expect(Object.keys(file.hosts)).toEqual(hostnames);
      expect(Object.keys(file.pids)).toEqual(["dispatcher", ...hostnames]);
      expect(Object.values(file.pids).every(isAlive)).toBe(true);
      expect(Object.keys(file.metrics)).toEqual(["dispatcher", ...hostnames]);
      for (const page of Object.values(file.metrics)) {
        const metrics = await fetch(page);
        expect([metrics.status, (await metrics.text()).includes("gatehouse_records_written_total")]).toEqual([
          200,
          true,
        ]);
      }

      const redisCli = (command: string): string =>
        spawnSync(REDIS_CLI, [command], {
          encoding: "utf8",
          env: { ...process.env, REDIS_URL: file.redis_url },
        }).stdout;
      const { port } = file.hosts["simple.localhost"]!;
      expect(redisCli("GET route:simple.localhost")).toBe(`${port}\n`);
      expect(redisCli("GET proxy:simple.localhost")).toContain(file.upstreams.simple);

      const log = (...args: string[]): string =>
        spawnSync(GATEHOUSE, ["log", ...args], {
          encoding: "utf8",
          env: { ...process.env, REDIS_URL: file.redis_url },
        }).stdout;
      const login =
        /\[oauth\] ● \[INFO\] token issued: authorization_code\n {2}Client: 127\.0\.0\.42 → Proxy: simple-oauth\.localhost\n/;
      expect(log("user", "octocat", "--limit", "1000")).toMatch(login);
      expect(log("hostname", "nobody-here.localhost")).toContain(
        "refused: no_route nobody-here.localhost (alert 112)",
      );

      const second = startDemo(["--once", "--state-dir", stateDir]);
      expect([await second.ended, second.output()]).toEqual([1, expect.stringContaining("runs already")]);

      const stop = stopDemo(stateDir);
      expect([stop.status, stop.stdout]).toEqual([0, expect.stringContaining("ended the demo")]);
      expect(Object.values(file.pids).some(isAlive)).toBe(false);
      expect(existsSync(join(stateDir, "demo.json"))).toBe(false);
      expect(existsSync(file.redis_url.slice("unix://".length))).toBe(false);
    },
    TIMEOUT_MS,
  );

  test(
    "killed with SIGKILL it leaves no process and no Redis directory",
    async () => {
      const stateDir = join(directory, "killed");
      const run = startDemo(["--state-dir", stateDir]);
      const file = await demoFile(stateDir, run);
      run.child.kill("SIGKILL");
      await until(() => !Object.values(file.pids).some(isAlive));
      await until(() => !existsSync(file.redis_url.slice("unix://".length)));
      // The pid file it left is not in the way of the next one.
      const next = startDemo(["--state-dir", stateDir]);
      await until(
        async () => Object.values((await demoFile(stateDir, next)).pids).every(isAlive),
        Boolean,
        TIMEOUT_MS,
      );
      next.child.kill("SIGINT");
      expect(await next.ended).toBe(0);
    },
    TIMEOUT_MS,
  );

  test(
    "GATEHOUSE_DEMO_UPSTREAM stands behind simple-oauth and simple.localhost, whatever it speaks",
    async () => {
      const upstream = createHttpServer((request, response) => response.end(`got ${request.url}`));
      upstream.listen(0, "127.0.0.1");
      await once(upstream, "listening");
      const address = upstream.address();
      const url = `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
      const stateDir = join(directory, "foreign");
      const run = startDemo(["--state-dir", stateDir], { GATEHOUSE_DEMO_UPSTREAM: url });
      try {
        const file = await demoFile(stateDir, run);
        expect(file.upstreams.simple).toBe(url);

        const peer = new Peer({ ...file.dispatcher, caPem: await readFile(file.ca_file, "utf8") });
        const response = await peer.fetch(`${file.hosts["simple.localhost"]?.origin}/any/path`);
        expect([response.status, await response.text()]).toEqual([200, "got /any/path"]);
        const shut = await peer.fetch(`${file.hosts["simple-oauth.localhost"]?.origin}/any/path`);
        expect([shut.status, await shut.text()]).toEqual([401, expect.not.stringContaining("got")]);
        const { port } = file.dispatcher;
        expect(run.output()).toContain(`https://simple-oauth.localhost:${port}/: 200 from the upstream`);
        await peer.close();
      } finally {
        run.child.kill("SIGTERM");
        await run.ended;
        upstream.close();
      }
    },
    TIMEOUT_MS,
  );

  test(
    "a step that fails is named, and the exit status says so",
    async () => {
      const redis = await startPrivateRedis();
      const client = new Redis({ path: redis.socketPath });
      await client.set("somebody", "else");
      const run = startDemo(["--once", "--state-dir", join(directory, "failing")], {
        GATEHOUSE_TEST_REDIS_URL: redis.url,
      });
      expect(await run.ended).toBe(1);
      expect(run.output()).toMatch(/FAILED at step 1\. Redis.*\n.*must be empty/);
      client.disconnect();
      await redis.stop();
    },
    TIMEOUT_MS,
  );

  test("arguments it does not know are a usage error", async () => {
    const run = startDemo(["--once", "--detach"]);
    expect([await run.ended, run.output()]).toEqual([2, expect.stringContaining("exclude each other")]);
    expect(await startDemo(["--nonsense"]).ended).toBe(2);
  });
});

/** Ports that could be taken are; one that somebody else has is taken already. */
async function takePorts(ports: readonly number[]): Promise<Server[]> {
  const servers = ports.map((port) => createServer().listen(port, "127.0.0.1"));
  await Promise.all(
    servers.map(
      (server) => new Promise((resolve) => server.once("listening", resolve).once("error", resolve)),
    ),
  );
  return servers;
}
