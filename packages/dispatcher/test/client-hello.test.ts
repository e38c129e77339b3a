import { describe, expect, test } from "@jest/globals";
import { METHODS } from "node:http";
import { ClientHelloReader, type HelloRead } from "../src/client-hello.ts";
import {
  EXTENSION,
  alpn,
  extension,
  hello,
  helloBody,
  message,
  nameEntry,
  record,
  recordsCutAt,
  recordsOf,
  segmentsCutAt,
  serverName,
  serverNameList,
  uint,
  vector,
} from "./support/hello-bytes.ts";

const NAME = "a.example";
const READ = { kind: "hello", serverName: NAME, alpn: [], hasEch: false } as const;
const SERVER_NAMES = (...entries: Buffer[]) => hello({ extensions: [serverNameList(...entries)] });

/** A hello message of so many octets, its header included. */
function messageOfLength(length: number): Buffer {
  const padded = (size: number) =>
    message(helloBody({ extensions: [serverName(NAME), extension(21, Buffer.alloc(size))] }));
  return padded(length - padded(0).length);
}

/** The text's UTF-8 octets, one character each. */
function utf8(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

function read(stream: Buffer, options?: { maxBytes: number }): HelloRead {
  return new ClientHelloReader(options).push(stream);
}

/** Pushes octet by octet through one buffer that is overwritten each time; returns the answer and when it came. */
function readByOctets(stream: Buffer, options?: { maxBytes: number }): { answer: HelloRead; after: number } {
  const reader = new ClientHelloReader(options);
  const octet = Buffer.alloc(1);
  for (let at = 0; at < stream.length; at++) {
    octet[0] = stream[at]!;
    const answer = reader.push(octet);
    if (answer.kind !== "incomplete") return { answer, after: at + 1 };
  }
  return { answer: reader.push(Buffer.alloc(0)), after: stream.length };
}

/** Reads whole and octet by octet, which must agree; returns the reason word of a refusal, else what was read. */
function outcome(stream: Buffer): string {
  const answer = read(stream);
  expect(readByOctets(stream).answer).toEqual(answer);
  if (answer.kind === "hello") return `hello ${answer.serverName ?? "without name"}`;
  return answer.kind === "refused" ? answer.reason : answer.kind;
}

describe("row 1: a hello in many segments", () => {
  const stream = hello({ extensions: [serverName(NAME), alpn("h2", "http/1.1")] });
  const whole = { ...READ, alpn: ["h2", "http/1.1"], length: stream.length };

  test("row 1: one octet a segment, each in a buffer that is used again", () => {
    expect(readByOctets(stream)).toEqual({ answer: whole, after: stream.length });
  });

  test("row 1: every cut into three segments", () => {
    for (let first = 0; first <= stream.length; first++) {
      for (let second = first; second <= stream.length; second += 7) {
        const reader = new ClientHelloReader();
        const answers = segmentsCutAt(stream, [first, second]).map((segment) => reader.push(segment));
        expect(answers.at(-1)).toEqual(whole);
      }
    }
  });

  test("row 1: incomplete until the last octet, and so for ever without it", () => {
    const reader = new ClientHelloReader();
    expect(reader.push(Buffer.alloc(0))).toEqual({ kind: "incomplete" });
    expect(reader.push(stream.subarray(0, -1))).toEqual({ kind: "incomplete" });
    expect(reader.push(Buffer.alloc(0))).toEqual({ kind: "incomplete" });
    expect(reader.push(stream.subarray(-1))).toEqual(whole);
  });

  test("row 1: cost is linear in the octets, one octet a segment", () => {
    const workFor = (length: number): number => {
      const long = recordsOf(messageOfLength(length), 16_000);
      const times = Array.from({ length: 5 }, () => {
        const before = process.cpuUsage();
        expect(readByOctets(long, { maxBytes: 1 << 20 }).answer.kind).toBe("hello");
        const { user, system } = process.cpuUsage(before);
        return user + system;
      });
      return Math.min(...times);
    };
    workFor(4_000); // warm
    // 15 times the octets: measured 5 times the work, and 660 times for a reader that starts over at each octet. CPU time and a
    // wide margin, for the machine may be busy.
    expect(workFor(60_000) / workFor(4_000)).toBeLessThan(200);
  });
});

describe("row 2: a hello split over records", () => {
  const whole = message(helloBody());

  test.each([1, 2, 3, 4, 5, 64, whole.length - 1])("row 2: records of %d octets", (size) => {
    const stream = recordsOf(whole, size);
    expect(read(stream)).toEqual({ ...READ, length: stream.length });
    expect(readByOctets(stream)).toEqual({
      answer: { ...READ, length: stream.length },
      after: stream.length,
    });
  });

  test("row 2: two records cut at every octet, and three with an empty one between them", () => {
    for (let cut = 1; cut < whole.length; cut++) {
      const two = recordsCutAt(whole, [cut]);
      expect(read(two)).toEqual({ ...READ, length: two.length });
      const three = recordsCutAt(whole, [cut, cut]);
      expect(read(three)).toEqual({ ...READ, length: three.length });
    }
  });

  test("row 2: empty records are tolerated up to a small limit, wherever they stand", () => {
    const empty = record(Buffer.alloc(0));
    const stream = (count: number) => Buffer.concat([...Array<Buffer>(count).fill(empty), record(whole)]);
    expect(read(stream(16))).toEqual({ ...READ, length: stream(16).length });
    expect(outcome(stream(17))).toBe("malformed_hello");
    expect(outcome(recordsCutAt(whole, Array<number>(17).fill(60)))).toBe(`hello ${NAME}`);
    expect(outcome(recordsCutAt(whole, Array<number>(18).fill(60)))).toBe("malformed_hello");
  });

  test("row 2: 4,096 records are read where the byte bound lets them in, one more is refused", () => {
    const bound = { maxBytes: 1 << 20 };
    expect(read(recordsOf(messageOfLength(4_096), 1), bound)).toEqual({ ...READ, length: 4_096 * 6 });
    expect(read(recordsOf(messageOfLength(4_097), 1), bound)).toMatchObject({ reason: "hello_too_large" });
  });

  test.each([20, 21, 23, 24, 99])(
    "row 2: content type %d between two parts of the hello is refused",
    (type) => {
      const stream = Buffer.concat([
        record(whole.subarray(0, 50)),
        record(Buffer.from([1, 0]), { type }),
        record(whole.subarray(50)),
      ]);
      expect(outcome(stream)).toBe("malformed_hello");
    },
  );

  test("row 2: a later record without TLS version is malformed, the first one is not TLS", () => {
    const parts = (version: number) => [
      record(whole.subarray(0, 50)),
      record(whole.subarray(50), { version }),
    ];
    expect(outcome(Buffer.concat(parts(0x0305)))).toBe(`hello ${NAME}`);
    expect(outcome(Buffer.concat(parts(0x0201)))).toBe("malformed_hello");
    expect(outcome(record(whole, { version: 0x0201 }))).toBe("not_tls");
  });

  test("a record that holds more than its hello is refused, also when the hello began in another", () => {
    const surplus = Buffer.from([0]);
    expect(outcome(record(Buffer.concat([whole, surplus])))).toBe("malformed_hello");
    expect(outcome(record(Buffer.concat([whole, whole])))).toBe("malformed_hello");
    for (const cut of [1, 3, 4, 5, 50, whole.length - 1]) {
      const stream = [record(whole.subarray(0, cut)), record(Buffer.concat([whole.subarray(cut), surplus]))];
      expect(outcome(Buffer.concat(stream))).toBe("malformed_hello");
    }
  });

  test("a record that holds more than its hello is refused as soon as its lengths say so", () => {
    const stream = record(Buffer.concat([whole, Buffer.from([0])]));
    expect(readByOctets(stream).after).toBe(9);
  });
});

describe("row 3: a long hello", () => {
  // A post-quantum key share (1,216 octets), a large ticket and padding.
  const long = message(
    helloBody({
      extensions: [
        extension(51, Buffer.alloc(1_222)),
        extension(41, Buffer.alloc(12_000)),
        serverName(NAME),
        extension(21, Buffer.alloc(2_900)),
      ],
    }),
  );

  test("row 3: the name behind 13 kB of other extensions", () => {
    expect(long.length).toBeGreaterThan(16_000);
    expect(outcome(record(long))).toBe(`hello ${NAME}`);
    expect(outcome(recordsOf(long, 1_400))).toBe(`hello ${NAME}`);
    expect(outcome(recordsOf(long, 700))).toBe(`hello ${NAME}`);
  });
});

test("row 4: GREASE and unknown extensions are skipped by their length", () => {
  const stream = hello({
    cipherSuites: Buffer.from("0a0a13011302", "hex"),
    extensions: [
      extension(EXTENSION.grease, Buffer.alloc(0)),
      extension(EXTENSION.supportedGroups, Buffer.from("0004fafa001d", "hex")),
      extension(0xffff, Buffer.alloc(300, 0xff)),
      serverName(NAME),
      extension(0xfafa, Buffer.from([0])),
      extension(0xfafa, Buffer.from([0])),
    ],
  });
  expect(outcome(stream)).toBe(`hello ${NAME}`);
});

test("row 5: encrypted_client_hello is reported; the outer name is the one to route on", () => {
  const stream = hello({
    extensions: [serverName("front.example"), extension(EXTENSION.ech, Buffer.alloc(240))],
  });
  expect(read(stream)).toMatchObject({ kind: "hello", serverName: "front.example", hasEch: true });
  expect(read(hello())).toMatchObject({ hasEch: false });
});

describe("row 6: no server name", () => {
  test.each([
    ["other extensions only", [extension(43, Buffer.from("0403040303", "hex"))]],
    ["an empty list of extensions", []],
    ["no extensions at all", undefined],
  ])("row 6: %s", (_, extensions) => {
    expect(read(hello({ extensions }))).toMatchObject({ kind: "hello", serverName: undefined, alpn: [] });
  });

  test("row 6: the shortest hello there can be", () => {
    const parts = {
      sessionId: Buffer.alloc(0),
      cipherSuites: Buffer.from("c02b", "hex"),
      extensions: undefined,
    };
    expect(helloBody(parts).length).toBe(41);
    expect(outcome(hello(parts))).toBe("hello without name");
  });
});

test.each([
  "192.0.2.7",
  "192.0.2.7.",
  "2001:db8::1",
  "::ffff:192.0.2.7",
  "::1",
  "[2001:db8::1]",
  "127.1",
  "0x7f000001",
])("row 7: the IP literal %s counts as no name", (literal) => {
  expect(outcome(hello({ extensions: [serverName(literal)] }))).toBe("hello without name");
});

test("row 8: one trailing dot is stripped, two are no name", () => {
  expect(outcome(hello({ extensions: [serverName("a.example.")] }))).toBe("hello a.example");
  expect(outcome(hello({ extensions: [serverName("a.example..")] }))).toBe("bad_name");
  expect(outcome(hello({ extensions: [serverName(".")] }))).toBe("bad_name");
});

test("row 9: upper case is lowered, ASCII only", () => {
  expect(outcome(hello({ extensions: [serverName("WWW.Example.COM")] }))).toBe("hello www.example.com");
  expect(outcome(SERVER_NAMES(nameEntry(utf8("\u212aelvin.example"))))).toBe("bad_name");
});

describe("row 10: names that are none", () => {
  const label = "a".repeat(63);
  test.each([
    ["empty", ""],
    ["NUL inside", "a.example\0.evil.example"],
    ["NUL at the end", "a.example\0"],
    ["line break", "a.example\r\nroute:*"],
    ["escape sequence", "\u001b[2Ja.example"],
    ["DEL", "a\u007f.example"],
    ["high octet", "m\u00fcller.example"],
    ["UTF-8 octets", utf8("müller.example")],
    ["space", "a example"],
    ["wildcard", "*.example"],
    ["slash", "a/b.example"],
    ["port", "a.example:443"],
    ["empty label", "a..example"],
    ["leading dot", ".a.example"],
    ["label of 64", `${label}a.example`],
    ["254 octets", `${[label, label, label].join(".")}.${"b".repeat(62)}`],
    ["4,000 octets", `${"a.".repeat(2_000)}example`],
    ["brackets around no address", "[a.example]"],
    ["an address behind half a bracket", "[::1"],
    ["an address before half a bracket", "(::1]"],
    ["an address between other characters", "(::1)"],
  ])("row 10: %s", (_, name) => {
    expect(outcome(hello({ extensions: [serverName(name)] }))).toBe("bad_name");
  });

  test.each([
    ["253 octets", `${[label, label, label].join(".")}.${"b".repeat(61)}`],
    ["underscore and dash", "_a-b_.xn--mller-kva.example"],
    ["one label", "localhost"],
  ])("row 10: %s pass", (_, name) => {
    expect(outcome(hello({ extensions: [serverName(name)] }))).toBe(`hello ${name}`);
  });

  test("row 10: the operator is told why, in words that quote nothing of the name", () => {
    expect(read(hello({ extensions: [serverName("\u001b[2J\r\n.example")] }))).toEqual({
      kind: "refused",
      reason: "bad_name",
      problem: "a server name of 14 octets is no hostname: bad_character",
    });
  });
});

describe("row 11: several names", () => {
  const first = nameEntry(NAME);
  const other = nameEntry("b.example");

  test("row 11: the first host_name wins", () => {
    expect(outcome(SERVER_NAMES(first, other))).toBe(`hello ${NAME}`);
    expect(outcome(SERVER_NAMES(other, first))).toBe("hello b.example");
    expect(outcome(SERVER_NAMES(first, nameEntry("not a name")))).toBe(`hello ${NAME}`);
    expect(outcome(SERVER_NAMES(nameEntry("not a name"), first))).toBe("bad_name");
  });

  test("row 11: unknown name types are skipped", () => {
    expect(outcome(SERVER_NAMES(nameEntry("b.example", 1), first))).toBe(`hello ${NAME}`);
    expect(outcome(SERVER_NAMES(nameEntry("", 255), first, nameEntry("c.example", 7)))).toBe(`hello ${NAME}`);
    expect(outcome(SERVER_NAMES(nameEntry("b.example", 1)))).toBe("hello without name");
  });

  test("row 11: a second server_name extension is malformed, whatever it holds", () => {
    for (const second of [serverName(NAME), serverName("b.example"), serverName("192.0.2.7")]) {
      expect(outcome(hello({ extensions: [serverName(NAME), alpn("h2"), second] }))).toBe("malformed_hello");
      expect(outcome(hello({ extensions: [serverName("192.0.2.7"), second] }))).toBe("malformed_hello");
    }
  });
});

describe("row 12: lengths that lie", () => {
  const withExtension = (data: Buffer, type: number = EXTENSION.serverName) =>
    hello({ extensions: [extension(type, data)] });
  const list = vector(nameEntry(NAME), 2);
  const body = helloBody();
  /** The body with the integer at `at` changed by `by`. */
  const skewed = (at: number, width: number, by: number): Buffer => {
    const copy = Buffer.from(body);
    copy.writeUIntBE(copy.readUIntBE(at, width) + by, at, width);
    return record(message(copy));
  };
  const sessionId = 34;
  const cipherSuites = sessionId + 33;
  const compression = cipherSuites + 8;
  const extensions = compression + 2;
  const extensionData = extensions + 4;

  test.each<[string, Buffer]>([
    ["session_id longer than the hello", skewed(sessionId, 1, 200)],
    ["session_id longer than 32", hello({ sessionId: Buffer.alloc(33) })],
    ["no cipher suite", hello({ cipherSuites: Buffer.alloc(0) })],
    ["half a cipher suite", hello({ cipherSuites: Buffer.alloc(3) })],
    ["cipher_suites longer than the hello", skewed(cipherSuites, 2, 1_000)],
    ["no compression method", hello({ compressionMethods: Buffer.alloc(0) })],
    ["compression_methods longer than the hello", skewed(compression, 1, 200)],
    ["extensions longer than the hello", skewed(extensions, 2, 1)],
    ["extensions shorter than the hello", skewed(extensions, 2, -1)],
    ["octets behind the extensions", record(message(Buffer.concat([body, Buffer.alloc(4)])))],
    ["an extension longer than the extensions", skewed(extensionData, 2, 1)],
    ["an extension shorter than its data", skewed(extensionData, 2, -1)],
    [
      "one octet behind the compression methods",
      record(message(Buffer.concat([body.subarray(0, extensions), uint(0, 1)]))),
    ],
    ["three octets of an extension", hello({ extensions: [serverName(NAME), Buffer.alloc(3)] })],
    ["server_name without list", withExtension(Buffer.alloc(0))],
    ["half a list length", withExtension(Buffer.alloc(1))],
    ["an empty list", withExtension(vector(Buffer.alloc(0), 2))],
    ["a list longer than its extension", withExtension(vector(nameEntry(NAME), 2, 13))],
    ["a list shorter than its extension", withExtension(Buffer.concat([list, Buffer.alloc(1)]))],
    [
      "a name longer than its list",
      withExtension(vector(Buffer.concat([uint(0, 1), vector(Buffer.from(NAME), 2, 10)]), 2)),
    ],
    ["half a name length", withExtension(vector(Buffer.from([0, 0]), 2))],
    [
      "a name type only, behind a good name",
      withExtension(vector(Buffer.concat([nameEntry(NAME), uint(0, 1)]), 2)),
    ],
    ["an unknown name type longer than its list", withExtension(vector(Buffer.from([1, 0, 5, 0]), 2))],
    ["ALPN without list", withExtension(Buffer.alloc(0), EXTENSION.alpn)],
    ["ALPN with an empty list", withExtension(vector(Buffer.alloc(0), 2), EXTENSION.alpn)],
    ["ALPN with an empty name", withExtension(vector(Buffer.from([0]), 2), EXTENSION.alpn)],
    [
      "ALPN with a name longer than its list",
      withExtension(vector(Buffer.from([3, 104, 50]), 2), EXTENSION.alpn),
    ],
    [
      "ALPN with octets behind its list",
      withExtension(Buffer.concat([vector(Buffer.from([2, 104, 50]), 2), uint(0, 1)]), EXTENSION.alpn),
    ],
    ["ALPN twice", hello({ extensions: [alpn("h2"), alpn("h2")] })],
  ])("row 12: %s", (_, stream) => {
    expect(outcome(stream)).toBe("malformed_hello");
  });

  test("row 12: a message cut short at any octet, with lengths of its own that agree", () => {
    // Up to the compression methods the hello may end nowhere, behind them only there.
    for (let end = 0; end < body.length; end++) {
      const expected = end === extensions ? "hello without name" : "malformed_hello";
      expect(`${end}: ${outcome(record(message(body.subarray(0, end))))}`).toBe(`${end}: ${expected}`);
    }
  });

  test("row 12: an empty name is a bad name, not a missing one", () => {
    expect(outcome(SERVER_NAMES(nameEntry("")))).toBe("bad_name");
  });
});

describe("row 13: old and new versions", () => {
  test.each(["0300", "0301", "0302", "0303", "0304", "03ff"])("row 13: record version 0x%s", (version) => {
    expect(outcome(record(message(helloBody()), { version: Number(`0x${version}`) }))).toBe(`hello ${NAME}`);
  });

  test.each(["0300", "0301", "0302", "0303", "0304", "0400"])("row 13: hello version 0x%s", (version) => {
    expect(outcome(hello({ version: Number(`0x${version}`) }))).toBe(`hello ${NAME}`);
  });

  test("row 13: a hello that names SSL 2.0 in a TLS record is malformed", () => {
    expect(outcome(hello({ version: 0x0002 }))).toBe("malformed_hello");
    expect(outcome(hello({ version: 0x0200 }))).toBe("malformed_hello");
  });
});

describe("row 14: SSLv2-style hello", () => {
  const sslv2 = (version: string) =>
    Buffer.from(`802e01${version}0015000000100100800300800700c0${"5a".repeat(16)}`, "hex");

  test.each(["0300", "0301", "0303", "0002"])(
    "row 14: version %s is recognised and told by an alert",
    (version) => {
      expect(outcome(sslv2(version))).toBe("malformed_hello");
      expect(read(sslv2(version))).toMatchObject({ problem: expect.stringContaining("SSLv2") });
      expect(readByOctets(sslv2(version)).after).toBe(4);
    },
  );

  test("row 14: other octets with the top bit set are not TLS, as soon as they show it", () => {
    expect(outcome(Buffer.from("802e0403", "hex"))).toBe("not_tls");
    expect(readByOctets(Buffer.from("802e0403", "hex")).after).toBe(3);
    expect(outcome(Buffer.from("802e0147", "hex"))).toBe("not_tls");
    expect(outcome(Buffer.from("802e", "hex"))).toBe("incomplete");
  });
});

describe("row 15: plain HTTP and other streams that are not TLS", () => {
  test.each([...METHODS, "PRI"])("row 15: %s is plain HTTP", (method) => {
    const stream = Buffer.from(`${method} / HTTP/1.1\r\nHost: a.example\r\n\r\n`);
    expect(read(stream)).toMatchObject({ kind: "refused", reason: "not_tls", isPlainHttp: true });
    expect(readByOctets(stream)).toEqual({ answer: read(stream), after: method.length + 1 });
  });

  test("row 15: the HTTP/2 preface is plain HTTP", () => {
    expect(read(Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))).toMatchObject({ isPlainHttp: true });
  });

  test.each<[string, string, number]>([
    ["SSH", "SSH-2.0-OpenSSH_9.2\r\n", 2],
    ["SMTP", "EHLO a.example\r\n", 1],
    ["a lower-case method", "get / HTTP/1.1\r\n", 1],
    ["a method run on", "GETTING\r\n", 4],
    ["Redis", "*1\r\n$4\r\nPING\r\n", 1],
    ["Postgres", "\0\0\0\u0008\u0004\u00d2\u0016/", 1],
    ["DTLS", "\u0016\u00fe\u00fd\0\0\0\0\0", 2],
    ["a line break before the method", "\r\nGET / HTTP/1.1\r\n", 3],
    ["zeros", "\0\0\0\0\0", 1],
    ["high octets", "\u00ff\u00ff\u00ff\u00ff", 3],
    ["a first octet of a record, then text", "\u0016GET / HTTP/1.1", 2],
    ["a TLS record behind text", "G\u0016\u0003\u0001", 2],
  ])("row 15: %s is refused at once and is not HTTP", (_, text, after) => {
    const read = readByOctets(Buffer.from(text, "latin1"));
    expect(read).toMatchObject({ answer: { kind: "refused", reason: "not_tls" }, after });
    expect(read.answer).not.toHaveProperty("isPlainHttp");
    expect(outcome(Buffer.from(text, "latin1"))).toBe("not_tls");
  });

  test.each(["PROXY TCP4 192.0.2.7 192.0.2.8 1 443\r\n", "\r\n\r\n\0\r\nQUIT\n!\u0011\0\u000c"])(
    "row 15: a PROXY header that nobody asked for is named to the operator: %j",
    (text) => {
      expect(outcome(Buffer.from(text, "latin1"))).toBe("not_tls");
      expect(read(Buffer.from(text, "latin1"))).toMatchObject({
        problem: expect.stringContaining("PROXY header"),
      });
      expect(read(Buffer.from(text, "latin1"))).not.toHaveProperty("isPlainHttp");
    },
  );

  test.each([
    [20, Buffer.from([1])],
    [21, Buffer.from([2, 40])],
    [23, Buffer.alloc(40)],
    [24, Buffer.alloc(20)],
  ])("content type %d as the first record speaks TLS but is no hello", (type, fragment) => {
    const stream = record(fragment, { type });
    expect(outcome(stream)).toBe("malformed_hello");
    expect(readByOctets(stream).after).toBe(2);
    expect(outcome(record(fragment, { type, version: 0x4745 }))).toBe("not_tls");
  });

  test.each([0, 2, 4, 11, 20, 255])("handshake type %d is no hello", (type) => {
    const stream = record(message(helloBody(), type));
    expect(outcome(stream)).toBe("malformed_hello");
    expect(readByOctets(stream).after).toBe(6);
  });
});

describe("row 22: a hello over the bound", () => {
  const whole = message(helloBody());
  const stream = record(whole);

  test("row 22: exactly the bound passes, one octet more does not", () => {
    expect(read(stream, { maxBytes: stream.length }).kind).toBe("hello");
    expect(read(stream, { maxBytes: stream.length - 1 })).toMatchObject({ reason: "hello_too_large" });
    const two = recordsCutAt(whole, [50]);
    expect(read(two, { maxBytes: two.length }).kind).toBe("hello");
    expect(read(two, { maxBytes: two.length - 1 })).toMatchObject({ reason: "hello_too_large" });
  });

  test("row 22: the default is 16 KiB with record headers", () => {
    expect(outcome(record(messageOfLength(16_379)))).toBe(`hello ${NAME}`);
    expect(outcome(record(messageOfLength(16_380)))).toBe("hello_too_large");
  });

  test.each<[string, string, number]>([
    ["a record length of 65,535", "160301ffff", 5],
    ["a record length just over the bound", "1603013ffc", 5],
    ["a message length of 16 MiB", "160301010001ffffff", 9],
    ["a message that needs one more record than fits", "160301010001003ff3", 9],
    ["a message length over the bound, in a record of its own", "160301000401003ff4", 9],
  ])("row 22: %s is refused when its lengths are known", (_, hex, after) => {
    const read = readByOctets(Buffer.concat([Buffer.from(hex, "hex"), Buffer.alloc(20_000)]));
    expect(read).toMatchObject({ answer: { kind: "refused", reason: "hello_too_large" }, after });
  });

  test("row 22: a record longer than TLS allows is malformed where the bound would let it in", () => {
    const bound = { maxBytes: 1 << 20 };
    expect(read(record(messageOfLength(16_384)), bound)).toEqual({ ...READ, length: 16_389 });
    expect(readByOctets(record(messageOfLength(16_385)), bound)).toMatchObject({
      answer: { reason: "malformed_hello" },
      after: 5,
    });
  });

  test("row 22: hellos longer than one record pass where the bound is raised", () => {
    const long = message(helloBody({ extensions: [extension(21, Buffer.alloc(40_000)), serverName(NAME)] }));
    const records = recordsOf(long, 16_384);
    expect(read(records, { maxBytes: 65_536 })).toEqual({ ...READ, length: records.length });
  });
});

describe("rows 36 and 37: what follows the hello", () => {
  const first = hello();
  const changeCipherSpec = record(Buffer.from([1]), { type: 20, version: 0x0303 });
  const second = record(message(helloBody({ extensions: [serverName("b.example")] })), { version: 0x0303 });
  const earlyData = record(Buffer.alloc(900, 0xee), { type: 23, version: 0x0303 });
  const answer = { ...READ, length: first.length };

  test("row 36: a second hello after HelloRetryRequest changes nothing", () => {
    const reader = new ClientHelloReader();
    expect(reader.push(first)).toEqual(answer);
    expect(reader.push(changeCipherSpec)).toEqual(answer);
    expect(reader.push(second)).toEqual(answer);
  });

  test("row 37: 0-RTT data in the same chunk is not counted and not looked at", () => {
    const flight = Buffer.concat([first, changeCipherSpec, earlyData]);
    expect(read(flight)).toEqual(answer);
    expect(read(Buffer.concat([first, Buffer.from("no TLS at all")]))).toEqual(answer);
    expect(readByOctets(flight)).toEqual({ answer, after: first.length });
  });

  test("row 37: behind a hello in several records too", () => {
    const split = recordsOf(message(helloBody()), 30);
    for (let cut = 0; cut <= split.length; cut++) {
      const reader = new ClientHelloReader();
      reader.push(split.subarray(0, cut));
      const rest = Buffer.concat([split.subarray(cut), earlyData]);
      expect(reader.push(rest)).toEqual({ ...READ, length: split.length });
    }
  });

  test("a refusal stands, whatever is pushed behind it", () => {
    const reader = new ClientHelloReader();
    const refusal = reader.push(Buffer.from("GET / HTTP/1.1\r\n"));
    expect(reader.push(first)).toBe(refusal);
  });
});

test("chunks are neither kept nor written to", () => {
  const stream = recordsOf(message(helloBody()), 40);
  const reader = new ClientHelloReader();
  const segments = segmentsCutAt(stream, [1, 7, 60, 61]);
  const answers = segments.map((segment) => {
    const before = Buffer.from(segment);
    const answer = reader.push(segment);
    expect(segment).toEqual(before);
    segment.fill(0xff);
    return answer;
  });
  expect(answers.at(-1)).toEqual({ ...READ, length: stream.length });
});

test("ALPN names come in the peer's order, one character per octet", () => {
  const stream = hello({
    extensions: [alpn("\u00fa\u00fa", "acme-tls/1", "h2", "http/1.1"), serverName(NAME)],
  });
  expect(read(stream)).toMatchObject({
    alpn: ["\u00fa\u00fa", "acme-tls/1", "h2", "http/1.1"],
    serverName: NAME,
  });
});
