import type { Request } from "../refusal.ts";
import { readWholeBody } from "../whole-body.ts";
import { PEER_LEFT_STATUS } from "../access-log.ts";
import { errorAnswer, HEADER_MISMATCH, INVALID_REQUEST, rpcAnswer, type Answer } from "./answer.ts";
import { mirrorProblem, readMessages } from "./message-method.ts";
import type { RequestHead } from "./request-head.ts";
import { messageNeeds, satisfies, type MessageRule } from "./scope-rules.ts";

/** Most octets of a body that are held to look at it (contract section 5). */
const MAX_CHECKED_BYTES = 256 * 1024;
/** Milliseconds a body may take that has to be looked at as a whole. */
const BODY_TIMEOUT_MS = 60_000;

export interface MessageCheck {
  readonly head: RequestHead;
  /** Those that the scopes may not satisfy. */
  readonly rules: readonly MessageRule[];
  readonly scopes: readonly string[];
  /** Undefined for an upgrade: what a WebSocket will carry can't be seen. */
  readonly source: Request | undefined;
  /** Makes the answer to a message that needs more. */
  readonly refuse: (needed: readonly string[]) => Answer;
}

/** The body of a request that may go on; or the answer to one that may not, and what was read of it. */
export type MessageVerdict =
  | { readonly answer?: undefined; readonly body: Buffer }
  | { readonly answer: Answer; readonly body?: Buffer };

/**
 * Decides about the messages of a request under rules of MCP method and name. Undefined when there is no body and so no message.
 * What can't be looked at is never let through.
 */
export async function checkMessages(check: MessageCheck): Promise<MessageVerdict | undefined> {
  const { head, rules, scopes, source, refuse } = check;
  if (source === undefined) return { answer: refuse(messageNeeds(rules, [undefined])) };
  if (!hasBody(source)) return undefined;
  if (head.mcpMethod !== undefined) {
    // The field alone may refuse; that something may pass is believed only from the body, which the upstream will read.
    const claimed = messageNeeds(rules, [{ method: head.mcpMethod, name: head.mcpName ?? "" }]);
    if (!satisfies(scopes, claimed)) return { answer: refuse(claimed) };
  }
  const read = await readMessageBody(source, head);
  if ("status" in read) return { answer: read };
  const answer = judgeBody(read.body, check);
  return answer === undefined ? read : { ...read, answer };
}

function judgeBody(body: Buffer, { head, rules, scopes, refuse }: MessageCheck): Answer | undefined {
  const messages = readMessages(body);
  if (!messages.ok) {
    const message = `Not checked: ${messages.problem}`;
    return rpcAnswer(400, { code: INVALID_REQUEST, message }, `message_ambiguous: ${messages.problem}`);
  }
  const problem = mirrorProblem(head, messages.messages);
  if (problem !== undefined) {
    const reason = `header_mismatch: ${problem} (MCP Streamable HTTP, Server Validation)`;
    return rpcAnswer(400, { code: HEADER_MISMATCH, message: `Header mismatch: ${problem}` }, reason);
  }
  const needed = messageNeeds(rules, messages.messages);
  return satisfies(scopes, needed) ? undefined : refuse(needed);
}

async function readMessageBody(
  source: Request,
  head: RequestHead,
): Promise<Answer | { readonly body: Buffer }> {
  const { contentLength = 0, contentEncoding, contentTypes } = head;
  if (contentTypes.length > 1)
    return errorAnswer(400, "bad_request", "message_ambiguous: more than one Content-Type");
  if (!isUtf8(contentTypes[0] ?? ""))
    return errorAnswer(415, "unsupported_media_type", "message_unreadable: charset");
  if (contentEncoding !== undefined && contentEncoding.toLowerCase() !== "identity") {
    return errorAnswer(415, "unsupported_media_type", "message_unreadable: Content-Encoding");
  }
  if (contentLength > MAX_CHECKED_BYTES) return tooLarge();
  const read = await readWholeBody(source, { maxBytes: MAX_CHECKED_BYTES, timeoutMs: BODY_TIMEOUT_MS });
  switch (read.kind) {
    case "body":
      return { body: read.body };
    case "too_large":
      return tooLarge();
    case "timeout":
      return errorAnswer(408, "request_timeout", "body_stalled");
    case "aborted":
      return errorAnswer(PEER_LEFT_STATUS, "aborted", "aborted_by_peer");
  }
}

/** JSON is UTF-8 (RFC 8259 section 8.1), yet some servers decode it by the `charset` of its type: UTF-7 would hide a name from the rules. */
function isUtf8(contentType: string): boolean {
  const charsets = contentType.match(/charset[^;,]*/gi) ?? [];
  return charsets.every((parameter) =>
    /^charset[ \t]*=[ \t]*"?(?:utf-?8|us-ascii)"?[ \t]*$/i.test(parameter),
  );
}

function tooLarge(): Answer {
  return errorAnswer(413, "content_too_large", `message_too_large: over ${MAX_CHECKED_BYTES} bytes`);
}

/** True for a request with a body, and for a WebSocket (undefined). */
export function mayHoldMessage(source: Request | undefined): boolean {
  return source === undefined || hasBody(source);
}

function hasBody(request: Request): boolean {
  if ("stream" in request) return !request.stream.endAfterHeaders;
  const { "content-length": length, "transfer-encoding": coding } = request.headers;
  return coding !== undefined || Number(length ?? 0) > 0;
}
