/** Why the dispatcher ends a connection instead of passing it on: the reason words of the record (contract section 3). */
export const REFUSAL_REASONS = [
  "no_route",
  "no_sni",
  "bad_name",
  "malformed_hello",
  "hello_timeout",
  "hello_too_large",
  "not_tls",
  "target_down",
  "bad_route",
  "loop",
  "too_many_connections",
  "connection_rate",
  "store_unavailable",
] as const;
export type RefusalReason = (typeof REFUSAL_REASONS)[number];

/** Alert descriptions the dispatcher sends (RFC 8446 section 6.2), by the names TLS gives them. */
const DESCRIPTIONS = { decodeError: 50, internalError: 80, unrecognizedName: 112 } as const;
type AlertName = keyof typeof DESCRIPTIONS;

/** Complete plaintext records, each with one fatal alert, ready to be written before any key exists. Shared: never write into them. */
export const alert: Readonly<Record<AlertName, Buffer>> = {
  decodeError: alertRecord(DESCRIPTIONS.decodeError),
  internalError: alertRecord(DESCRIPTIONS.internalError),
  unrecognizedName: alertRecord(DESCRIPTIONS.unrecognizedName),
};

const ALERT_OF_REASON: Readonly<Record<RefusalReason, AlertName | undefined>> = {
  no_route: "unrecognizedName",
  no_sni: "unrecognizedName",
  bad_name: "decodeError",
  malformed_hello: "decodeError",
  // What stops half way is most often a hello whose second segment was lost on the way (tldr.fail): it couldn't be decoded.
  hello_timeout: "decodeError",
  hello_too_large: "decodeError",
  not_tls: undefined,
  target_down: "internalError",
  bad_route: "internalError",
  loop: "internalError",
  too_many_connections: "internalError",
  connection_rate: "internalError",
  store_unavailable: "internalError",
};

/** What a refused peer is told: the number as the record shows it, and the octets to write. */
interface RefusalAlert {
  readonly description: number;
  readonly bytes: Buffer;
}

/**
 * Returns the alert for a refusal, or undefined for `not_tls`: a peer that does not speak TLS takes an alert for garbage. It
 * gets {@link badRequest} when it speaks HTTP, else nothing.
 */
export function alertFor(reason: RefusalReason): RefusalAlert | undefined {
  const name = ALERT_OF_REASON[reason];
  return name && { description: DESCRIPTIONS[name], bytes: alert[name] };
}

/** Version 0x0303, as every record but the first hello carries (RFC 8446 section 5.1); peers of any version read it in an alert. */
function alertRecord(description: number): Buffer {
  const contentType = 21;
  const fatal = 2;
  return Buffer.from([contentType, 0x03, 0x03, 0x00, 0x02, fatal, description]);
}

const BAD_REQUEST_BODY = "This port speaks TLS only: use https:// in the address instead of http://.\n";

/** The answer to plain HTTP on the TLS port, complete; the connection is closed behind it. Shared: never write into it. */
export const badRequest: Buffer = Buffer.from(
  [
    "HTTP/1.1 400 Bad Request",
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${Buffer.byteLength(BAD_REQUEST_BODY)}`,
    "Connection: close",
    "",
    BAD_REQUEST_BODY,
  ].join("\r\n"),
);
