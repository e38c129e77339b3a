/** What stands out in a captured hello, read from its octets: the manifest claims nothing that isn't there. */

const POST_QUANTUM_GROUPS: ReadonlyMap<number, string> = new Map([
  [0x11eb, "SecP256r1MLKEM768"],
  [0x11ec, "X25519MLKEM768"],
  [0x11ed, "SecP384r1MLKEM1024"],
  [0x6399, "X25519Kyber768Draft00"],
]);
const SERVER_NAME = 0;
const SUPPORTED_GROUPS = 10;
const ALPN = 16;
const SESSION_TICKET = 35;
const PRE_SHARED_KEY = 41;
const SUPPORTED_VERSIONS = 43;
const KEY_SHARE = 51;
const ECH = 0xfe0d;
const ECH_OUTER = 0;

/** Whether the hello offers to resume a session, by TLS 1.3's means or the older one. */
export function resumes(flight: Buffer): boolean {
  const facts = helloFacts(flight);
  return facts.includes("pre-shared key") || facts.includes("session ticket");
}

/** Facts in words, in a fixed order, such as `X25519MLKEM768 key share`, `grease`, `ech`, `session ticket`. */
export function helloFacts(flight: Buffer): string[] {
  const { version, suites, extensions } = fieldsOf(bodyOf(flight));
  const groups = words(extensions.get(SUPPORTED_GROUPS)?.subarray(2));
  const shares = shareGroups(extensions.get(KEY_SHARE)?.subarray(2));
  const facts: readonly [text: string, holds: boolean][] = [
    ["no server name", !extensions.has(SERVER_NAME)],
    ["ALPN", extensions.has(ALPN)],
    extensions.has(SUPPORTED_VERSIONS) ? ["TLS 1.3", true] : [`version 0x${version.toString(16)}`, true],
    ...groups.flatMap((group) => postQuantum(group, shares)),
    ["grease", [...suites, ...groups, ...extensions.keys()].some(isGrease)],
    ["ech", extensions.get(ECH)?.readUInt8(0) === ECH_OUTER],
    ["session ticket", (extensions.get(SESSION_TICKET) ?? "").length > 0],
    ["pre-shared key", extensions.has(PRE_SHARED_KEY)],
  ];
  return facts.filter(([, holds]) => holds).map(([text]) => text);
}

interface HelloFields {
  readonly version: number;
  readonly suites: readonly number[];
  readonly extensions: ReadonlyMap<number, Buffer>;
}

function fieldsOf(body: Buffer): HelloFields {
  let at = 34;
  at += 1 + body.readUInt8(at);
  const suites = body.subarray(at + 2, at + 2 + body.readUInt16BE(at));
  at += 2 + suites.length;
  at += 1 + body.readUInt8(at);
  // Before TLS 1.2 a hello could end here.
  const list = at < body.length ? body.subarray(at + 2) : Buffer.alloc(0);
  return { version: body.readUInt16BE(0), suites: words(suites), extensions: extensionsOf(list) };
}

/** The body of the ClientHello in a flight of whole records. */
function bodyOf(flight: Buffer): Buffer {
  const fragments: Buffer[] = [];
  for (let at = 0; at < flight.length;) {
    const end = at + 5 + flight.readUInt16BE(at + 3);
    fragments.push(flight.subarray(at + 5, end));
    at = end;
  }
  return Buffer.concat(fragments).subarray(4);
}

function extensionsOf(list: Buffer): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = 0; at < list.length;) {
    const end = at + 4 + list.readUInt16BE(at + 2);
    found.set(list.readUInt16BE(at), list.subarray(at + 4, end));
    at = end;
  }
  return found;
}

function words(octets: Buffer = Buffer.alloc(0)): number[] {
  return Array.from({ length: octets.length >> 1 }, (_, i) => octets.readUInt16BE(2 * i));
}

function shareGroups(shares: Buffer = Buffer.alloc(0)): number[] {
  const groups: number[] = [];
  for (let at = 0; at < shares.length; at += 4 + shares.readUInt16BE(at + 2))
    groups.push(shares.readUInt16BE(at));
  return groups;
}

function postQuantum(group: number, shares: readonly number[]): [string, boolean][] {
  const name = POST_QUANTUM_GROUPS.get(group);
  return name === undefined ? [] : [[`${name} ${shares.includes(group) ? "key share" : "offered"}`, true]];
}

/** RFC 8701: 0x0a0a, 0x1a1a, … 0xfafa. */
function isGrease(value: number): boolean {
  return (value & 0x0f0f) === 0x0a0a && value >> 8 === (value & 0xff);
}
