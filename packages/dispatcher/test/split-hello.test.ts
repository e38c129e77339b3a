import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { once } from "node:events";
import { setImmediate as turn } from "node:timers/promises";
import { TestDispatcher } from "./support/dispatcher.ts";
import { captureNodeHello, helloBody, message, recordsOf, serverName } from "./support/hello-bytes.ts";
import { connectTo, readBytes, startRawTarget, type RawTarget } from "./support/raw-target.ts";

let target: RawTarget;
let dispatcher: TestDispatcher;
let opened = 0;

beforeAll(async () => {
  target = await startRawTarget("tcp");
  dispatcher = await TestDispatcher.start({ routes: { "a.example": `${target.route};proxy=off` } });
});

afterAll(async () => {
  await target.stop();
  await dispatcher.stop();
});

/** Sends the pieces one segment each and returns what the target got. */
async function sendInPieces(pieces: readonly Buffer[]): Promise<Buffer> {
  const peer = await connectTo(dispatcher.port);
  peer.setNoDelay(true);
  for (const piece of pieces) {
    peer.write(piece);
    await turn();
  }
  const far = await target.socket(opened++);
  const seen = await readBytes(far, Buffer.concat(pieces).length);
  peer.destroy();
  far.destroy();
  return seen;
}

test("row 1: a real hello of over 1,460 octets, one octet per segment, is replayed unchanged", async () => {
  const hello = await captureNodeHello({ servername: "a.example" });
  expect(hello.length).toBeGreaterThan(1460);
  const seen = await sendInPieces(Array.from(hello, (octet) => Buffer.of(octet)));
  expect(seen.equals(hello)).toBe(true);
});

test("row 2: a hello over many records, cut everywhere, is replayed as it was cut", async () => {
  const whole = recordsOf(message(helloBody({ extensions: [serverName("a.example")] })), 7);
  expect(
    (await sendInPieces([whole.subarray(0, 3), whole.subarray(3, 40), whole.subarray(40)])).equals(whole),
  ).toBe(true);
});

test("row 37: what follows the hello at once (0-RTT data) goes out with it, untouched", async () => {
  const hello = recordsOf(message(helloBody({ extensions: [serverName("a.example")] })), 16_384);
  const early = Buffer.alloc(300_000, 0x17);
  const seen = await sendInPieces([Buffer.concat([hello, early])]);
  expect(seen.equals(Buffer.concat([hello, early]))).toBe(true);
});

test("header and hello reach the target in one piece", async () => {
  const withHeader = await TestDispatcher.start({ routes: { "a.example": target.route } });
  const peer = await connectTo(withHeader.port);
  const hello = recordsOf(message(helloBody({ extensions: [serverName("a.example")] })), 16_384);
  peer.write(hello);
  const far = await target.socket(opened++);
  const [first] = (await once(far, "data")) as [Buffer];
  expect(first.subarray(-hello.length).equals(hello)).toBe(true);
  expect(first.subarray(0, 12)).toEqual(Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1"));
  peer.destroy();
  await withHeader.stop();
});
