import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { ClientHelloReader, type HelloRead } from "../src/client-hello.ts";
import {
  alpn,
  extension,
  helloBody,
  message,
  nameEntry,
  record,
  recordsCutAt,
  segmentsCutAt,
  serverName,
  serverNameList,
} from "./support/hello-bytes.ts";

const RUNS = { numRuns: 400 };

function readInSegments(stream: Buffer, cuts: readonly number[]): HelloRead {
  const reader = new ClientHelloReader();
  let answer: HelloRead = { kind: "incomplete" };
  for (const segment of segmentsCutAt(stream, cuts)) answer = reader.push(segment);
  return answer;
}

/** What holds for any octets at all: a known kind, a name and a length that can be trusted, a problem on one short line. */
function expectSound(answer: HelloRead, stream: Buffer): void {
  if (answer.kind === "hello") {
    expect(answer.serverName ?? "none").toMatch(/^[a-z0-9_.-]{1,253}$/);
    expect(answer.length).toBeLessThanOrEqual(stream.length);
  } else if (answer.kind === "refused") {
    expect(answer.problem).toMatch(/^[\u0020-\u007e]{1,100}$/);
  } else {
    expect(answer.kind).toBe("incomplete");
    expect(stream.length).toBeLessThan(16_384 + 5);
  }
}

const octets = (maxLength: number) =>
  fc.uint8Array({ maxLength }).map((array) => Buffer.from(array.buffer, array.byteOffset, array.length));
const label = fc.stringMatching(/^[a-zA-Z0-9_-]{1,20}$/);
// The last label begins with a letter: a name that ends in a number is an address to every URL parser.
const hostname = fc
  .tuple(fc.array(label, { maxLength: 4 }), fc.stringMatching(/^[a-zA-Z][a-zA-Z0-9-]{0,10}$/), fc.boolean())
  .map(([labels, last, dot]) => ({
    sent: [...labels, last].join(".") + (dot ? "." : ""),
    read: [...labels, last].join(".").toLowerCase(),
  }));
const unknownExtension = fc
  .tuple(fc.integer({ min: 17, max: 0xfe00 }), octets(60))
  .map(([type, data]) => extension(type, data));
const protocols = fc.array(fc.constantFrom("h2", "http/1.1", "acme-tls/1", "\u00ea\u00ea"), {
  minLength: 1,
  maxLength: 4,
});

/** Parts of a stream in rising order, turned into offsets below its end: they mean the same place however long it is. */
const part = fc.noBias(fc.nat(99_999)).map((number) => number / 100_000);
const cuts = (maxLength: number) => fc.array(part, { maxLength }).map((parts) => parts.sort((a, b) => a - b));
const offsets = (parts: readonly number[], length: number) => parts.map((part) => Math.floor(part * length));

interface ValidHello {
  readonly flight: Buffer;
  readonly serverName: string | undefined;
  readonly alpn: readonly string[];
}

/** A valid hello in any number of records, with what must be read from it. */
const validHello: fc.Arbitrary<ValidHello> = fc
  .record({
    name: fc.option(hostname, { nil: undefined }),
    extraEntries: fc.array(fc.tuple(fc.string({ maxLength: 9 }), fc.integer({ min: 1, max: 255 })), {
      maxLength: 2,
    }),
    protocols: fc.option(protocols, { nil: undefined }),
    before: fc.array(unknownExtension, { maxLength: 4 }),
    after: fc.array(unknownExtension, { maxLength: 4 }),
    sessionId: octets(32),
    version: fc.constantFrom(0x0300, 0x0301, 0x0302, 0x0303),
    records: cuts(12),
  })
  .map(({ name, extraEntries, protocols, before, after, records, ...rest }) => {
    const others = extraEntries.map(([text, type]) => nameEntry(text, type));
    const extensions = [
      ...before,
      ...(protocols === undefined ? [] : [alpn(...protocols)]),
      ...(name === undefined ? [] : [serverNameList(...others, nameEntry(name.sent), ...others)]),
      ...after,
    ];
    const whole = message(helloBody({ ...rest, extensions }));
    const flight = recordsCutAt(whole, offsets(records, whole.length));
    return { flight, serverName: name?.read, alpn: protocols ?? [] };
  });

test("rows 1 and 2: any cut into segments and records gives the same answer", () => {
  fc.assert(
    fc.property(validHello, cuts(20), octets(40), ({ flight, ...expected }, segments, rest) => {
      const stream = Buffer.concat([flight, rest]);
      expect(readInSegments(stream, offsets(segments, stream.length))).toEqual({
        kind: "hello",
        hasEch: false,
        length: flight.length,
        ...expected,
      });
    }),
    RUNS,
  );
});

test("row 1: no beginning of a valid hello is refused, and none is taken for the whole", () => {
  fc.assert(
    fc.property(validHello, part, ({ flight }, end) => {
      const beginning = flight.subarray(0, Math.floor(end * flight.length));
      expect(new ClientHelloReader().push(beginning)).toEqual({ kind: "incomplete" });
    }),
    RUNS,
  );
});

test("row 10: a name of any octets is read as a hostname or refused, never altered but in case and one dot", () => {
  fc.assert(
    fc.property(octets(300), (name) => {
      const sent = name.toString("latin1");
      const stream = record(message(helloBody({ extensions: [serverName(sent)] })));
      const answer = new ClientHelloReader().push(stream);
      expectSound(answer, stream);
      if (answer.kind === "hello" && answer.serverName !== undefined) {
        expect([answer.serverName, `${answer.serverName}.`]).toContain(sent.toLowerCase());
      }
    }),
    RUNS,
  );
});

test("rows 12 and 15: random octets never throw, and segments do not change the answer", () => {
  const lead = fc
    .constantFrom("", "16", "160301", "16030100f0", "160301010001", "160301010001000", "80", "474554")
    .map((hex) => Buffer.from(hex, "hex"));
  fc.assert(
    fc.property(lead, octets(300), cuts(20), (start, rest, segments) => {
      const stream = Buffer.concat([start, rest]);
      const answer = new ClientHelloReader().push(stream);
      expectSound(answer, stream);
      expect(readInSegments(stream, offsets(segments, stream.length))).toEqual(answer);
    }),
    { numRuns: 1_000 },
  );
});

test("row 12: a random body under correct headers never throws", () => {
  fc.assert(
    fc.property(octets(300), (body) => {
      const stream = record(message(Buffer.concat([Buffer.from([3, 3]), Buffer.alloc(32), body])));
      expectSound(new ClientHelloReader().push(stream), stream);
    }),
    { numRuns: 1_000 },
  );
});

test("row 12: a valid hello with octets changed, dropped or added never throws, and segments do not change the answer", () => {
  const change = fc.record({
    at: part,
    drop: fc.integer({ min: 0, max: 3 }),
    insert: octets(3),
  });
  fc.assert(
    fc.property(
      validHello,
      fc.array(change, { minLength: 1, maxLength: 4 }),
      cuts(20),
      ({ flight }, changes, segments) => {
        let stream = flight;
        for (const { at, drop, insert } of changes) {
          const offset = Math.floor(at * stream.length);
          stream = Buffer.concat([stream.subarray(0, offset), insert, stream.subarray(offset + drop)]);
        }
        const answer = new ClientHelloReader().push(stream);
        expectSound(answer, stream);
        expect(readInSegments(stream, offsets(segments, stream.length))).toEqual(answer);
      },
    ),
    { numRuns: 1_000 },
  );
});
