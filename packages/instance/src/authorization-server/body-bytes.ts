import { discard } from "../request-body.ts";
import { readWholeBody } from "../whole-body.ts";
import { noted, peerLeft } from "./answer-record.ts";
import type { HostContext } from "./endpoints.ts";

/** Why a body was not read to its end. */
export class BodyUnread extends Error {
  override readonly name = "BodyUnread";
  readonly kind: "too_large" | "timeout" | "aborted";

  constructor(kind: BodyUnread["kind"]) {
    super(`request body ${kind}`);
    this.kind = kind;
  }
}

/** Milliseconds in which a body must be whole, absolute: it is short, and its octets are held until then. */
const BODY_TIMEOUT_MS = 10_000;

/** Reads a request's body of at most that many octets. @throws {BodyUnread} */
export async function readBytes(c: HostContext, maxBytes: number): Promise<Buffer> {
  const read = await readWholeBody(c.env.incoming, { maxBytes, timeoutMs: BODY_TIMEOUT_MS });
  if (read.kind !== "body") throw new BodyUnread(read.kind);
  return read.body;
}

/** The answer to a request whose body was not read to its end; nothing of the rest is waited for. */
export function bodyUnread({ kind }: BodyUnread, c: HostContext): Response {
  if (kind === "aborted") return peerLeft();
  giveUpRest(c, kind);
  return kind === "timeout"
    ? refused(408, "body_stalled", "the body did not arrive in time")
    : refused(413, "content_too_large", "the body is too large");
}

/** An HTTP/2 stream ends behind the answer (RFC 9113 section 8.1); over HTTP/1.1 a body that was merely too long may still come. */
function giveUpRest({ env: { incoming, outgoing } }: HostContext, kind: BodyUnread["kind"]): void {
  if ("stream" in incoming) {
    const { stream } = incoming;
    stream.once("finish", () => stream.close());
    incoming.resume();
    return;
  }
  // RFC 9110 section 15.5.9: what would come next on the connection is still the old body.
  if (kind === "timeout") outgoing.setHeader("connection", "close");
  discard(incoming);
}

function refused(status: 408 | 413, reason: string, description: string): Response {
  const body = { error: "invalid_request", error_description: description };
  return noted(Response.json(body, { status }), { reason });
}

/** Returns whether no answer can reach the peer any more: its stream was reset, or its connection is closed. Half-closed is not left. */
export function peerHasLeft({ env: { incoming, outgoing } }: HostContext): boolean {
  return "stream" in incoming ? incoming.stream.destroyed : outgoing.destroyed;
}
