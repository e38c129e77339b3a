import { afterAll, beforeAll, beforeEach, expect, test } from "@jest/globals";
import {
  eventually,
  HEADER,
  HOSTNAME,
  openBed,
  untilClosed,
  type Bed,
  type Front,
} from "./support/front-bed.ts";

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
  await eventually(async () => (await connections()) === 2);
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
  await eventually(async () => (await connections()) < MAX);
  expect((await front.get()).status).toBe(200);
});
