import { isIPv6 } from "node:net";
import { parseHostname, type Hostname } from "@gatehouse/shared/hostname";
import type { OctetSpan } from "./octet-span.ts";

/** What the dispatcher wants to know of a ClientHello. */
export interface HelloMessage {
  readonly kind: "hello";
  /** The name to route on; undefined when none was sent, or an IP literal, which RFC 6066 section 3 forbids there. */
  readonly serverName: Hostname | undefined;
  /** Protocol names in the peer's order, one character per octet as sent: escape before printing. */
  readonly alpn: readonly string[];
  /** An encrypted_client_hello extension is present, real or GREASE: the name may be a public front (RFC 9849 section 10). */
  readonly hasEch: boolean;
}

/** Why a message that is there in full can't be used. `problem` is for the operator and never quotes the peer. */
export interface HelloFault {
  readonly kind: "refused";
  readonly reason: "malformed_hello" | "bad_name";
  readonly problem: string;
}

/** Extension types: RFC 6066 section 3, RFC 7301 section 3.1, RFC 9849 section 5. */
const SERVER_NAME = 0;
const ALPN = 16;
const ENCRYPTED_CLIENT_HELLO = 0xfe0d;

/** RFC 6066 section 3: the one name type there is. */
const HOST_NAME = 0;
/** Oldest version a hello in TLS records can name: SSL 3.0. Newer than any known is legal (RFC 5246 appendix E.1). */
const OLDEST_VERSION = 0x0300;
const RANDOM_LENGTH = 32;
const MAX_SESSION_ID_LENGTH = 32;
/** The shortest ClientHello body: version, random, empty session_id, one cipher suite, one compression method. */
export const MIN_HELLO_LENGTH = 2 + RANDOM_LENGTH + 1 + 4 + 2;

const NO_PROTOCOLS: readonly string[] = [];

/**
 * Reads the body of one ClientHello (RFC 8446 section 4.1.2; the same layout since SSL 3.0). Extensions that are not ours,
 * GREASE among them (RFC 8701), are skipped by their length. Never throws.
 */
export function readHelloMessage(body: OctetSpan): HelloMessage | HelloFault {
  const fault = skipToExtensions(body);
  if (fault !== undefined) return fault;
  // Before TLS 1.2 a hello could end here.
  if (body.left === 0) return { kind: "hello", serverName: undefined, alpn: NO_PROTOCOLS, hasEch: false };
  const extensions = body.vector16();
  if (extensions === undefined || body.left > 0) {
    return malformed("the extensions do not end where the hello ends");
  }
  return readExtensions(extensions);
}

/** Steps over the fields that do not matter here; they are held to their grammar so that no lie in them shifts what follows. */
function skipToExtensions(body: OctetSpan): HelloFault | undefined {
  const version = body.uint16();
  if (version < OLDEST_VERSION) return malformed("the hello's version is older than SSL 3.0");
  if (body.take(RANDOM_LENGTH) === undefined) return malformed("random is cut short");
  const sessionId = body.vector8();
  if (sessionId === undefined || sessionId.left > MAX_SESSION_ID_LENGTH) {
    return malformed("session_id is longer than 32 octets or than the hello");
  }
  const cipherSuites = body.vector16();
  if (cipherSuites === undefined || cipherSuites.left === 0 || cipherSuites.left % 2 !== 0) {
    return malformed("cipher_suites is empty, odd or longer than the hello");
  }
  const compressionMethods = body.vector8();
  if (compressionMethods === undefined || compressionMethods.left === 0) {
    return malformed("compression_methods is empty or longer than the hello");
  }
  return undefined;
}

function readExtensions(extensions: OctetSpan): HelloMessage | HelloFault {
  let serverName: { readonly hostname: Hostname | undefined } | undefined;
  let alpn: readonly string[] | undefined;
  let hasEch = false;
  while (extensions.left > 0) {
    const type = extensions.uint16();
    const data = extensions.vector16();
    if (data === undefined) return malformed("an extension is longer than the list that holds it");
    if (type === SERVER_NAME) {
      // Two names in two places is how one box is made to route on the first and the next to serve the second.
      if (serverName !== undefined) return malformed("server_name comes twice (RFC 8446 section 4.2)");
      const read = readServerName(data);
      if (read.kind === "refused") return read;
      serverName = read;
    } else if (type === ALPN) {
      if (alpn !== undefined) return malformed("ALPN comes twice (RFC 8446 section 4.2)");
      alpn = readProtocolNames(data);
      if (alpn === undefined) return malformed("ALPN lengths do not add up");
    } else if (type === ENCRYPTED_CLIENT_HELLO) {
      hasEch = true;
    }
  }
  return { kind: "hello", serverName: serverName?.hostname, alpn: alpn ?? NO_PROTOCOLS, hasEch };
}

type NameInHello = { readonly kind: "name"; readonly hostname: Hostname | undefined } | HelloFault;

/**
 * Reads a ServerNameList (RFC 6066 section 3). The first host_name counts. Other name types are skipped: whatever they may
 * become, they begin with a length of two octets.
 */
function readServerName(data: OctetSpan): NameInHello {
  const list = data.vector16();
  if (list === undefined || list.left === 0 || data.left > 0)
    return malformed("the server name list's length is wrong");
  let hostName: string | undefined;
  while (list.left > 0) {
    const type = list.uint8();
    const name = list.vector16();
    if (name === undefined) return malformed("a server name is longer than the list that holds it");
    if (type === HOST_NAME) hostName ??= name.text();
  }
  return hostName === undefined ? { kind: "name", hostname: undefined } : judgeName(hostName);
}

function judgeName(raw: string): NameInHello {
  const parsed = parseHostname(raw);
  if (parsed.ok) return { kind: "name", hostname: parsed.hostname };
  if (parsed.problem === "ip_literal" || isBracketedIpv6(raw)) return { kind: "name", hostname: undefined };
  const problem = `a server name of ${raw.length} octets is no hostname: ${parsed.problem}`;
  return { kind: "refused", reason: "bad_name", problem };
}

/** The literal as it stands in a URL, `[2001:db8::1]`: some peers pass it on as it is. */
function isBracketedIpv6(raw: string): boolean {
  return raw.startsWith("[") && raw.endsWith("]") && isIPv6(raw.slice(1, -1));
}

/** Reads a ProtocolNameList (RFC 7301 section 3.1); undefined when its lengths do not add up. */
function readProtocolNames(data: OctetSpan): readonly string[] | undefined {
  const list = data.vector16();
  if (list === undefined || list.left === 0 || data.left > 0) return undefined;
  const names: string[] = [];
  while (list.left > 0) {
    const name = list.vector8();
    if (name === undefined || name.left === 0) return undefined;
    names.push(name.text());
  }
  return names;
}

function malformed(problem: string): HelloFault {
  return { kind: "refused", reason: "malformed_hello", problem };
}
