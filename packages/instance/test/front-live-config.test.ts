import { once } from "node:events";
import { readFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { newSecretKey } from "@gatehouse/shared/sealing";
import { until } from "@gatehouse/testbed/until";
import { HOSTNAME, openBed, type Bed, type Front } from "./support/front-bed.ts";

let bed: Bed;

beforeAll(async () => {
  bed = await openBed();
  bed.upstream.answers.set("/stream", (_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: 1\n\n");
  });
});
afterAll(() => bed.close());
afterEach(() => bed.configure());

async function openStream(front: Front): Promise<Socket> {
  const socket = await front.connect({ ALPNProtocols: ["http/1.1"] });
  socket.write(`GET /stream HTTP/1.1\r\nHost: ${HOSTNAME}\r\n\r\n`);
  await once(socket, "data");
  return socket;
}

/** Resolves at the last chunk: a stream that is ended in order is whole to its reader. */
async function streamEnd(socket: Socket): Promise<void> {
  let text = "";
  socket.on("data", (chunk) => (text += String(chunk)));
  await until(() => text.endsWith("0\r\n\r\n"));
  socket.destroy();
}

const statusBecomes = (front: Front, status: number): Promise<unknown> =>
  until(async () => (await front.get("/")).status === status);

describe("a change applies within a second", () => {
  test("to new requests, without dropping a stream", async () => {
    const front = await bed.start();
    const stream = await openStream(front);
    await bed.configure({ maintenance: true });
    const written = performance.now();
    await statusBecomes(front, 503);
    expect(performance.now() - written).toBeLessThan(1000);
    const answer = await front.raw(`GET / HTTP/1.1\r\nHost: ${HOSTNAME}\r\n\r\n`);
    expect(answer).toMatch(/retry-after: \d+/i);
    await bed.configure();
    await statusBecomes(front, 200);
    expect(stream.closed).toBe(false);
    stream.destroy();
  });

  test.each([
    ["enabled: false", { enabled: false }, 404],
    ["auth_enabled without anybody to log in with", { auth_enabled: true, auth_required_users: ["*"] }, 503],
  ])("%s closes every path, upgrades too, and ends the streams", async (_what, config, status) => {
    const front = await bed.start();
    const ended = streamEnd(await openStream(front));
    await bed.configure(config);
    await statusBecomes(front, status);
    await ended;
    const seen = bed.upstream.seen.length;
    for (const path of ["/", "/mcp", "/.well-known/oauth-protected-resource", "/health"]) {
      expect((await front.get(path)).status).toBe(status);
    }
    const upgrade =
      `GET / HTTP/1.1\r\nHost: ${HOSTNAME}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    expect(await front.raw(upgrade)).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(bed.upstream.seen).toHaveLength(seen);
    await bed.configure();
    await statusBecomes(front, 200);
  });

  test("a host that starts so never serves openly", async () => {
    await bed.configure({ auth_enabled: true, auth_required_users: ["*"], auth_excluded_paths: ["/*"] });
    const front = await bed.start();
    expect((await front.get("/open")).status).toBe(503);
  });

  test("a deleted config disables the host; written again, it serves again", async () => {
    const front = await bed.start();
    const ended = streamEnd(await openStream(front));
    await bed.store.del(`proxy:${HOSTNAME}`);
    await statusBecomes(front, 404);
    await ended;
    expect((await front.health()).report["config"]).toMatchObject({ state: "deleted", is_serving: false });
    await bed.configure();
    await statusBecomes(front, 200);
  });

  test("a config of a longer name is none of ours", async () => {
    const front = await bed.start();
    await bed.store.set(
      `proxy:${HOSTNAME}.org`,
      JSON.stringify({ target_url: bed.upstream.url, enabled: false }),
    );
    await bed.configure({ maintenance: true });
    await statusBecomes(front, 503);
    await bed.store.del(`proxy:${HOSTNAME}.org`);
  });
});

describe("a bad document keeps the last good one", () => {
  test("every problem is recorded and shown, no secret is", async () => {
    const front = await bed.start();
    await bed.configure({ target_url: "ftp://x", surprise: 1, github_client_secret: "s3cret" });
    const record = await front.record(({ event }) => event === "config_bad");
    for (const part of ["target_url", "surprise"]) expect(record.message).toContain(part);
    expect((await front.get("/")).status).toBe(200);
    const { status, report } = await front.health();
    expect(status).toBe(200);
    expect(report["config"]).toMatchObject({ state: "bad", is_serving: true });
    expect(JSON.stringify([front.records, report])).not.toContain("s3cret");
    await bed.configure();
    await until(async () => JSON.stringify((await front.health()).report["config"]).includes('"good"'));
  });

  test("also over a restart, from the snapshot", async () => {
    const env = { GATEHOUSE_STATE_DIR: join(bed.directory, "bad") };
    const first = await bed.start(env);
    await first.stop();
    await bed.store.set(`proxy:${HOSTNAME}`, "{");
    await expect(bed.start()).rejects.toThrow(/must be JSON/);
    const second = await bed.start(env);
    expect((await second.get("/")).status).toBe(200);
    expect((await second.health()).report["config"]).toMatchObject({ state: "bad", is_serving: true });
  });
});

describe("a key of the wrong type is a bad value", () => {
  const hash = (key: string): Promise<unknown> =>
    bed.store.multi().del(key).hset(key, "target_url", "http://x").exec();
  const problem = { key: `proxy:${HOSTNAME}`, expected: "must be a string", got: "a hash" };

  afterEach(() => bed.store.del(`proxy:${HOSTNAME}`, `cert:${HOSTNAME}`));

  test("of the host config: the last good one serves on, the key and its type are recorded and shown", async () => {
    const front = await bed.start();
    await hash(`proxy:${HOSTNAME}`);
    const record = await front.record(({ event }) => event === "config_bad");
    expect(record.message).toContain(`proxy:${HOSTNAME}: must be a string, got a hash`);
    expect((await front.get("/")).status).toBe(200);
    const { report } = await front.health();
    expect(report["config"]).toEqual({ state: "bad", problems: [problem], is_serving: true });
    expect(report["store"]).toEqual({ is_fresh: true });
    await bed.store.del(`proxy:${HOSTNAME}`);
    await statusBecomes(front, 404);
    await hash(`proxy:${HOSTNAME}`);
    await until(async () => JSON.stringify((await front.health()).report["config"]).includes("a hash"));
    await bed.configure();
    await statusBecomes(front, 200);
  });

  test("of the host config at a start, which says so", async () => {
    await hash(`proxy:${HOSTNAME}`);
    await expect(bed.start()).rejects.toMatchObject({ problems: [problem] });
  });

  test("of the certificate: one that was there serves on, and no start fails for it", async () => {
    const expected = { problems: { stored: `cert:${HOSTNAME} is a hash, not a string` } };
    const front = await bed.start();
    await hash(`cert:${HOSTNAME}`);
    await front.record(({ event }) => event === "certificate_bad");
    expect((await front.health()).report["certificate"]).toMatchObject(expected);
    const second = await bed.start();
    expect((await second.get("/")).status).toBe(200);
    expect((await second.health()).report["certificate"]).toMatchObject(expected);
  });
});

describe("without Redis", () => {
  const away = "unix:///nonexistent/redis.sock";

  test("a restart serves from the snapshot, which holds nothing in clear", async () => {
    const env = { GATEHOUSE_STATE_DIR: join(bed.directory, "away") };
    await bed.configure({ github_client_id: "id", github_client_secret: "s3cret" });
    await (await bed.start(env)).stop();
    const file = await readFile(join(bed.directory, "away", `instance-${HOSTNAME}.snapshot`), "utf8");
    expect(file).not.toMatch(/s3cret|target_url/);
    const again = await bed.start({ ...env, REDIS_URL: away });
    expect((await again.get("/")).status).toBe(200);
    expect((await again.health()).report["store"]).toEqual({ is_fresh: false });
    await again.record(({ event }) => event === "store_lost");
  });

  test("with another secret key the snapshot is none: nothing is served", async () => {
    const env = {
      GATEHOUSE_STATE_DIR: join(bed.directory, "away"),
      GATEHOUSE_SECRET_KEY: newSecretKey(),
      REDIS_URL: away,
    };
    await expect(bed.start(env)).rejects.toThrow(/REDIS_URL: must be reachable/);
  });

  test("while it is away what is known serves on; back again, changes are followed without a restart", async () => {
    const front = await bed.start();
    await bed.redis.kill("SIGKILL");
    await front.record(({ event }) => event === "store_lost");
    expect((await front.get("/")).status).toBe(200);
    await bed.redis.restart();
    await until(() =>
      bed.configure({ maintenance: true }).then(
        () => true,
        () => false,
      ),
    );
    await statusBecomes(front, 503);
    await front.record(({ event }) => event === "store_regained");
  });
});
