import type { LogRecord } from "@gatehouse/shared/log-record";

/** How text is coloured: on a terminal that has colours by escape sequences, elsewhere not at all. */
export interface Paint {
  readonly quiet: (text: string) => string;
  /** The colour of what a record says of the outcome, by its marker. */
  readonly outcome: (marker: string, text: string) => string;
}

const sequence =
  (code: number) =>
  (text: string): string =>
    `\u001b[${code}m${text}\u001b[0m`;

const COLOURS: Readonly<Record<string, (text: string) => string>> = {
  "✗": sequence(31),
  "⚠": sequence(33),
  "✓": sequence(32),
  "→": sequence(36),
  "●": sequence(34),
  "◆": sequence(90),
};
const plain = (text: string): string => text;

/** Returns the paint of an output: colours only on a terminal, and not under NO_COLOR or `TERM=dumb`. */
export function paintFor(
  output: { readonly isTTY?: boolean },
  env: Readonly<Record<string, string | undefined>>,
): Paint {
  const isColoured = output.isTTY === true && !env["NO_COLOR"] && env["TERM"] !== "dumb";
  if (!isColoured) return { quiet: plain, outcome: (_marker, text) => text };
  return { quiet: sequence(90), outcome: (marker, text) => (COLOURS[marker] ?? plain)(text) };
}

/** Time and component, then what it says of the outcome: a marker, and a level or a status. */
const HEADLINE = /^(\[[^\]]*\] \[[^\]]*\]) (\S(?: \[[A-Z]+\]| \d+)?)/;

/** Returns a printed record in colours: what it says of the outcome stands out, the lines below the first step back. */
export function paintRecord(printed: string, paint: Paint): string {
  const [headline = "", ...lines] = printed.split("\n");
  const [start = "", place = "", outcome = ""] = HEADLINE.exec(headline) ?? [];
  const painted = `${paint.quiet(place)} ${paint.outcome(outcome.charAt(0), outcome)}${headline.slice(start.length)}`;
  return [painted, ...lines.map((line) => paint.quiet(line))].join("\n");
}

/** The fields that `--json` prints of every record, null where it has none; the others follow when it has them. */
const ALWAYS = [
  "hostname",
  "ip",
  "conn",
  "req",
  "method",
  "path",
  "status",
  "duration_ms",
  "user",
  "uid",
  "scopes",
  "client_id",
] as const satisfies readonly (keyof LogRecord)[];

/** Returns a record as one line of JSON; the time as text that sorts and that every language reads (RFC 3339). */
export function jsonLine(record: LogRecord): string {
  const { time, level, component, event, ...rest } = record;
  const always = Object.fromEntries(ALWAYS.map((field) => [field, record[field] ?? null]));
  return JSON.stringify({ time: new Date(time).toISOString(), level, component, event, ...always, ...rest });
}
