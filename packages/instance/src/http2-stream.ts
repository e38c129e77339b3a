import type { Request } from "./refusal.ts";

/** The code of a stream that was not reset (RFC 9113 section 7). Not taken from `node:http2`, which is loaded for the first peer that speaks it. */
export const NO_ERROR = 0;

/** Node ends the body of an HTTP/2 stream that was reset like one that is whole. */
export function isReset(request: Request): boolean {
  return "stream" in request && (request.stream.aborted || request.stream.rstCode !== NO_ERROR);
}
