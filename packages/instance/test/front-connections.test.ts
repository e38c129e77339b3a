import { afterAll, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { once } from "node:events";
import { until } from "@gatehouse/testbed/until";
import { ask, HEADER, HOSTNAME, openBed, untilClosed, type Bed, type Front } from "./support/front-bed.ts";

const MAX = 3;

let bed: Bed;
let front: Front;

beforeAll(async () => {
  bed = await openBed();
});
afterAll(() => bed.close());
beforeEach(async () => {
  front = await bed.start({ GATEHOUSE_INSTANCE_MAX_CONNECTIONS: String(MAX) });
});

async function connections(): Promise<number> {
  return Number((await front.health()).report["connections"]);
}

async function refused(): Promise<number> {
  const page = await (await fetch(`${front.instance.adminUrl}/metrics`)).text();
  const line = /^gatehouse_instance_connections_refused_total\{.*reason="too_many_connections".*\} (\d+)$/m;
  return Number(line.exec(page)?.[1] ?? 0);
}

/** A connection on which a request was answered, and which is kept. */
async function served() {
  const socket = await front.connect({ ALPNProtocols: ["http/1.1"] });
  socket.write(`GET / HTTP/1.1\r\nHost: ${HOSTNAME}\r\n\r\n`);
  await new Promise((resolve) => socket.once("data", resolve));
  return socket;
}

test("who has asked for nothing yet makes room at the limit, the oldest first, in whatever phase it is", async () => {
  const kept = await served();
  const silent = await front.open();
  const closed = untilClosed(silent);
  await until(async () => (await connections()) === 2);
  const handshaken = await front.connect();
  const ended = untilClosed(handshaken);
  // Each of these takes the place of one of those.
  const others = [await served()];
  await closed;
  others.push(await served());
  await ended;
  expect([kept, ...others].map(({ closed: isClosed }) => isClosed)).toEqual([false, false, false]);
  await expect(front.record(({ reason }) => reason === "too_many_connections")).resolves.toMatchObject({
    level: "warn",
    event: "connection_refused",
  });
  expect(await refused()).toBe(2);
  expect(front.records.filter(({ event }) => event === "tls_failed")).toEqual([]);
  // All have been heard: the newcomer has to go.
  const late = await front.open();
  late.write(HEADER);
  await untilClosed(late);
  expect(await refused()).toBe(3);
  expect(await connections()).toBe(MAX);
  kept.destroy();
  await until(async () => (await connections()) < MAX);
  expect((await front.get()).status).toBe(200);
});

test("a connection on which nothing but refusals was answered ends sooner, over HTTP/1.1 and HTTP/2", async () => {
  const impatient = await bed.start({ GATEHOUSE_REFUSED_KEEPALIVE_TIMEOUT_MS: "200" });
  const open = async (path: string) => {
    const socket = await impatient.connect({ ALPNProtocols: ["http/1.1"] });
    socket.write(`GET ${path} HTTP/1.1\r\nHost: ${HOSTNAME}\r\n\r\n`);
    await new Promise((resolve) => socket.once("data", resolve));
    return socket;
  };
  bed.upstream.answers.set("/missing", (_request, response) => response.writeHead(404).end());
  const session = await impatient.http2();
  const over = once(session, "close");
  expect((await ask(session, { ":path": "/missing" })).status).toBe(404);
  const fine = await open("/");
  const refusedOnly = await open("/missing");
  await Promise.all([untilClosed(refusedOnly), over]);
  expect(fine.closed).toBe(false);
  // One good answer is enough for good.
  fine.write(`GET /missing HTTP/1.1\r\nHost: ${HOSTNAME}\r\n\r\n`);
  await new Promise((resolve) => fine.once("data", resolve));
  await untilClosed(await open("/missing"));
  expect(fine.closed).toBe(false);
});
