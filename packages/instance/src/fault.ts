import { basename } from "node:path";

/** How ioredis and Redis begin to say what went wrong; what may follow can quote the command. */
const STORE_WORDS =
  /^(?:Command timed out|Connection is closed|Stream isn't writeable|Socket timeout|Reached the max retries|[A-Z]{3,20}(?= ))/;
const CODE = /^[A-Z][A-Z0-9_]{2,60}$/;
const FRAME = /^\s+at .*?([^\s()/\\]+):(\d+):\d+\)?$/;
/** Frames that are named: enough to find the place. */
const MAX_FRAMES = 3;

/**
 * Says what a record may say of a fault: what kind it is and where it happened. Not its message: parsers quote what they read, drivers
 * the command they sent, and neither belongs into a record.
 */
export function faultOf(error: unknown): string {
  if (!(error instanceof Error)) return "not an error";
  const { name, message, stack = "" } = error;
  const code = "code" in error && typeof error.code === "string" && CODE.test(error.code) ? error.code : "";
  const words = STORE_WORDS.exec(message)?.[0] ?? "";
  const kind = [name, code, words].filter((word) => word !== "").join(" ");
  const places = placesOf(stack.slice(stack.indexOf(message) + message.length));
  return places.length === 0 ? kind : `${kind} at ${places.join(" < ")}`;
}

/** File and line of the innermost frames. */
function placesOf(frames: string): string[] {
  const found: string[] = [];
  for (const line of frames.split("\n")) {
    const [, file, at] = FRAME.exec(line) ?? [];
    if (file !== undefined && at !== undefined) found.push(`${basename(file)}:${at}`);
    if (found.length === MAX_FRAMES) break;
  }
  return found;
}
