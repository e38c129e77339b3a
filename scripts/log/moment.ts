const UNITS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};
const AGO = /^(\d{1,9})([smhdw])$/;
const DATE = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?)(Z|[+-]\d\d:\d\d)?)?$/;

/** How a moment is written, for messages. */
export const MOMENT_FORMS =
  "30s, 15m, 2h, 7d (ago), 2025-08-30 or 2025-08-30T08:07:02.893Z (UTC unless it says otherwise)";

/** Reads a moment as an operator types it, or as a record prints it: milliseconds since the epoch, undefined when it is none. */
export function parseMoment(text: string, now: number): number | undefined {
  const ago = AGO.exec(text);
  if (ago) return now - Number(ago[1]) * (UNITS[ago[2] ?? ""] ?? 0);
  const [, day, clock = "00:00", zone = "Z"] = DATE.exec(text) ?? [];
  if (day === undefined) return undefined;
  const moment = Date.parse(`${day}T${clock}${zone}`);
  return Number.isNaN(moment) ? undefined : moment;
}
