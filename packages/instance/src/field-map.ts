/** Returns pairs as an object: names in lower case, the values of a repeated one joined (RFC 9110 section 5.3). */
export function toJoinedMap(
  fields: readonly (readonly [name: string, value: string])[],
): Record<string, string> {
  const map: Record<string, string> = {};
  for (const [name, value] of fields) {
    const lower = name.toLowerCase();
    map[lower] = Object.hasOwn(map, lower) ? `${map[lower]}, ${value}` : value;
  }
  return map;
}

/** Returns a flat name-value list as an object: names in lower case, repeated fields as a list in their order. */
export function toFieldMap(fields: readonly string[]): Record<string, string | string[]> {
  const map: Record<string, string | string[]> = {};
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = (fields[i] ?? "").toLowerCase();
    const value = fields[i + 1] ?? "";
    const before = Object.hasOwn(map, name) ? map[name] : undefined;
    if (before === undefined) map[name] = value;
    else map[name] = Array.isArray(before) ? [...before, value] : [before, value];
  }
  return map;
}
