import { afterAll, describe, expect, test } from "@jest/globals";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { Redis } from "ioredis";
import { dependencyNames } from "../debian-packages.ts";
import { startPrivateRedis, type PrivateRedis } from "../private-redis.ts";
import { until } from "../until.ts";

const started: PrivateRedis[] = [];
afterAll(async () => {
  await Promise.all(started.map((redis) => redis.stop()));
});

async function privateRedis(...args: Parameters<typeof startPrivateRedis>): Promise<PrivateRedis> {
  const redis = await startPrivateRedis(...args);
  started.push(redis);
  return redis;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe("private Redis", () => {
  test("servers started at once are separate and ready to answer", async () => {
    const [one, two] = await Promise.all([privateRedis(), privateRedis()]);
    const clients = [one, two].map((redis) => new Redis({ path: redis.socketPath }));
    await clients[0]!.set("name", "one");
    expect(await clients[1]!.get("name")).toBeNull();
    for (const client of clients) client.disconnect();
  });

  test("an exported REDIS_URL is not touched", async () => {
    process.env["REDIS_URL"] = "redis://127.0.0.1:1";
    try {
      const redis = await privateRedis();
      expect(redis.url).toBe(`unix://${redis.socketPath}`);
    } finally {
      delete process.env["REDIS_URL"];
    }
  });

  test("killed and restarted it is on the same socket, and with an append-only file it keeps its data", async () => {
    const redis = await privateRedis({ args: ["--appendonly", "yes", "--appendfsync", "always"] });
    const before = redis.pid;
    const first = new Redis({ path: redis.socketPath });
    await first.set("kept", "yes");
    first.disconnect();
    await redis.kill();
    expect(isAlive(before)).toBe(false);
    await redis.restart();
    expect(redis.pid).not.toBe(before);
    const second = new Redis({ path: redis.socketPath });
    expect(await second.get("kept")).toBe("yes");
    second.disconnect();
  });

  test("stop ends the server, frozen or not, and removes its directory", async () => {
    const redis = await privateRedis();
    const { pid } = redis;
    await redis.kill("SIGSTOP");
    await redis.stop();
    expect(isAlive(pid)).toBe(false);
    expect(existsSync(dirname(redis.socketPath))).toBe(false);
  });

  test("it does not outlive a parent killed with SIGKILL", async () => {
    const parent = spawn(process.execPath, ["--input-type=module", "--conditions=source", "--eval", PARENT], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(parent.stdout, "data")) as [Buffer];
    const { pid, socketPath } = JSON.parse(line.toString()) as { pid: number; socketPath: string };
    expect(isAlive(pid)).toBe(true);
    parent.kill("SIGKILL");
    await until(() => !isAlive(pid) && !existsSync(dirname(socketPath)));
  });

  test("a server given by GATEHOUSE_TEST_REDIS_URL is used when empty, refused when not, emptied again", async () => {
    const redis = await privateRedis();
    const client = new Redis({ path: redis.socketPath });
    process.env["GATEHOUSE_TEST_REDIS_URL"] = redis.url;
    try {
      await client.set("somebody", "else");
      await expect(startPrivateRedis()).rejects.toThrow("must be empty");
      await client.flushall();
      const borrowed = await startPrivateRedis();
      expect(borrowed.url).toBe(redis.url);
      await client.set("written", "by a test");
      await borrowed.stop();
      expect(await client.dbsize()).toBe(0);
    } finally {
      delete process.env["GATEHOUSE_TEST_REDIS_URL"];
      client.disconnect();
    }
  });
});

const PARENT = `
  const { startPrivateRedis } = await import(${JSON.stringify(join(import.meta.dirname, "../private-redis.ts"))});
  const { pid, socketPath } = await startPrivateRedis();
  console.log(JSON.stringify({ pid, socketPath }));
  setInterval(() => undefined, 1000);
`;

test("dependency fields of Debian packages: versions and alternatives are left out", () => {
  expect(dependencyNames("libatomic1 (>= 4.8), libc6 (>= 2.34), libssl3t64 | libssl3, adduser")).toEqual([
    "libatomic1",
    "libc6",
    "libssl3t64",
    "adduser",
  ]);
});
