import { expectSame, expectThat, latin1, type FuzzTarget } from "@gatehouse/testbed/fuzz/target";
import { ClientHelloReader, type HelloRead } from "../../src/client-hello.ts";
import { CORPUS_ENTRIES, flightOf } from "../support/corpus.ts";
import { hello, messageOf, recordsOf, segmentsCutAt } from "../support/hello-bytes.ts";

const MAX_BYTES = 16_384;
const SEVERAL_CUTS = 3;
/** Streams up to this length are also pushed octet by octet. */
const SHORT_BYTES = 400;

function read(segments: readonly Buffer[], maxBytes = MAX_BYTES): HelloRead {
  const reader = new ClientHelloReader({ maxBytes });
  let answer: HelloRead = { kind: "incomplete" };
  for (const segment of segments) answer = reader.push(segment);
  return answer;
}

/** Cuts that depend on the octets alone, so that an input always means the same. */
function cutsOf(stream: Buffer): number[] {
  let sum = stream.length;
  for (let at = 0; at < stream.length; at += 7) sum = (Math.imul(sum, 31) + (stream[at] ?? 0)) >>> 0;
  return Array.from({ length: SEVERAL_CUTS }, (_, i) => (sum >>> (8 * i)) % (stream.length + 1)).sort(
    (a, b) => a - b,
  );
}

function expectSound(answer: HelloRead, stream: Buffer): void {
  switch (answer.kind) {
    case "hello":
      expectThat("name of our alphabet", /^[a-z0-9_.-]{1,253}$/.test(answer.serverName ?? "none"));
      expectThat("length within the stream", answer.length <= Math.min(stream.length, MAX_BYTES));
      // What is kept of a hello is no longer than it: memory is bounded by what came.
      expectThat("protocols within the hello", answer.alpn.join("").length < answer.length);
      break;
    case "refused":
      expectThat("a short problem without foreign text", /^[\u0020-\u007e]{1,100}$/.test(answer.problem));
      break;
    case "incomplete":
      expectThat("no endless waiting", stream.length < MAX_BYTES + 5);
  }
}

/** What was accepted comes out the same when its message is put into records of another size. */
function expectSameInOtherRecords(answer: HelloRead & { kind: "hello" }, stream: Buffer): void {
  const message = messageOf(stream.subarray(0, answer.length));
  const size = 1 + (message.length % 200);
  const recut = recordsOf(message, size);
  if (recut.length <= MAX_BYTES)
    expectSame("in other records", read([recut]), { ...answer, length: recut.length });
}

function check(stream: Buffer): void {
  const answer = read([stream]);
  expectSound(answer, stream);
  const cuts = cutsOf(stream);
  expectSame("in segments", read(segmentsCutAt(stream, cuts)), answer);
  if (stream.length <= SHORT_BYTES)
    expectSame("octet by octet", read(Array.from(stream, (octet) => Buffer.of(octet))), answer);
  if (answer.kind !== "incomplete")
    expectSame("with more behind it", read([stream, stream, latin1("more")]), answer);
  for (const cut of cuts) {
    const early = read([stream.subarray(0, cut)]);
    if (early.kind !== "incomplete") expectSame("told early, told for good", early, answer);
    else if (answer.kind === "hello") expectThat("whole only when whole", cut < answer.length);
  }
  if (answer.kind !== "hello") return;
  expectSame("its own octets are enough", read([stream.subarray(0, answer.length)]), answer);
  expectSameInOtherRecords(answer, stream);
  const tooLarge = read([stream], answer.length - 1);
  expectThat("a smaller bound refuses", tooLarge.kind === "refused" && tooLarge.reason === "hello_too_large");
}

/** Short ones, so that most changes hit something that matters, and real ones. */
const SEEDS: readonly Buffer[] = [
  hello(),
  hello({ extensions: undefined }),
  latin1("GET / HTTP/1.1\r\n\r\n"),
  latin1("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  latin1("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
  Buffer.from("802e0100020015000000100100800000030000", "hex"),
  ...CORPUS_ENTRIES.map(flightOf),
];

export const target: FuzzTarget = {
  name: "client-hello",
  guides: [
    "dispatcher/src/client-hello.ts",
    "dispatcher/src/hello-message.ts",
    "dispatcher/src/octet-span.ts",
  ],
  seeds: SEEDS,
  dictionary: [
    "\x16\x03\x01",
    "\x16\x03\x03\x00\x01",
    "\x16\x03\x01\x00\x00",
    "\x01\x00",
    "\x00\x00\x00\x0e\x00\x0c\x00\x00\x09a.example",
    "\x00\x10\x00\x05\x00\x03\x02h2",
    "\xfe\x0d\x00\x01\x00",
    "\x0a\x0a\x00\x00",
    "192.0.2.1",
    "[::1]",
    "\x80\x2e\x01\x03\x01",
    "PROXY ",
    "POST ",
  ],
  maxBytes: 20_000,
  check,
};
