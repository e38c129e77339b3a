import { STATUS_CODES } from "node:http";
import type { ResponseWriter } from "./response-writer.ts";
import type { AccessRecord } from "./access-log.ts";

/** Answers the gateway gives in the upstream's place, by status: a word for programs and a sentence for people, nothing of the inside. */
const ANSWERS = {
  400: ["bad_request", "The request target or a header field can't be forwarded."],
  403: ["origin_not_allowed", "This origin may not call this host."],
  405: ["method_not_allowed", "This method is not served here."],
  408: ["request_timeout", "The request body did not arrive in time."],
  413: ["content_too_large", "The request body is over the limit of this host."],
  421: ["misdirected_request", "The request names another host than this one."],
  502: ["bad_gateway", "The service behind this host did not give a usable answer."],
  503: ["unavailable", "The service behind this host can't take the request now."],
  504: ["gateway_timeout", "The service behind this host did not answer in time."],
} as const;

export type ShortStatus = keyof typeof ANSWERS;

const RETRY_AFTER_SECONDS = "5";

/** Sends a whole answer of our own and notes it in the record; the head must not have been sent. */
export function answerShortly(
  writer: ResponseWriter,
  access: AccessRecord,
  answer: { readonly status: ShortStatus; readonly requestId: string; readonly isHead: boolean },
): void {
  const { status, requestId, isHead } = answer;
  const [error, message] = ANSWERS[status];
  const body = Buffer.from(`${JSON.stringify({ error, message, request_id: requestId })}\n`);
  const fields = [
    "Content-Type",
    "application/json",
    "Content-Length",
    String(body.length),
    "Cache-Control",
    "no-store",
  ];
  if (status === 503) fields.push("Retry-After", RETRY_AFTER_SECONDS);
  if (status === 405) fields.push("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
  access.status = status;
  writer.start({ status, message: STATUS_CODES[status] ?? "", fields, announcesTrailers: false });
  if (!isHead) {
    access.bytesOut += body.length;
    writer.write(body);
  }
  writer.end([]);
}
