/**
 * Fields that are about one connection only and never travel further (RFC 9110 section 7.6.1, with `http2-settings` of the
 * upgrade that RFC 9113 dropped). `trailer` is decided where it is read; names that `Connection` lists are removed besides.
 */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);

/** Names that `Connection` must not take away: without them the message would change its meaning or its length. */
const NEVER_NOMINATED: ReadonlySet<string> = new Set(["host", "content-length", "trailer"]);

/** True for a lower-case name that belongs to one connection. */
export function isHopByHop(name: string): boolean {
  return HOP_BY_HOP.has(name);
}

/** Returns the lower-case names a `Connection` value takes away, beyond those that are removed anyway; undefined when none. */
export function nominatedNames(connection: string): ReadonlySet<string> | undefined {
  let names: Set<string> | undefined;
  for (const token of connection.toLowerCase().split(",")) {
    const name = token.trim();
    if (name === "" || name === "close" || isHopByHop(name) || NEVER_NOMINATED.has(name)) continue;
    (names ??= new Set()).add(name);
  }
  return names;
}

/** Returns the flat name-value list without the fields named. */
export function withoutNames(fields: readonly string[], names: ReadonlySet<string>): string[] {
  return withoutFields(fields, (name) => names.has(name.toLowerCase()));
}

/** Returns the flat name-value list without the fields that are meant. */
export function withoutFields(
  fields: readonly string[],
  isMeant: (name: string, value: string) => boolean,
): string[] {
  const kept: string[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? "";
    const value = fields[i + 1] ?? "";
    if (!isMeant(name, value)) kept.push(name, value);
  }
  return kept;
}
