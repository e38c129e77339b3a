import type { Challenge } from "./challenge.ts";
import { bearerChallenge } from "./challenge.ts";
import type { TokenCheck } from "./token-check.ts";

/** A whole answer of the protected resource's own. */
export interface Answer {
  readonly status: number;
  /** For the record: what was wrong, and the clause that says so; undefined when nothing was. */
  readonly reason?: string;
  /** Where the credentials decided it. */
  readonly tokenCheck?: TokenCheck;
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: string;
}

/** Error codes by status where the challenge has none. */
const CODES: Readonly<Record<number, string>> = { 401: "unauthorized" };

/** JSON-RPC codes: what the official SDKs use for the same cases. */
export const HEADER_MISMATCH = -32_020;
export const INVALID_REQUEST = -32_600;
export const SESSION_NOT_FOUND = -32_001;

/** Why a request is challenged, for the record and for the counter. */
export interface ChallengeReason {
  readonly reason: string;
  readonly tokenCheck: TokenCheck;
}

/** Returns a 400, 401 or 403 with its challenge (RFC 6750 section 3). */
export function challengeAnswer(
  status: 400 | 401 | 403,
  challenge: Challenge,
  reason: ChallengeReason,
): Answer {
  const { error = CODES[status] ?? "", description = "An access token is needed" } = challenge;
  return {
    status,
    ...reason,
    fields: [
      ["WWW-Authenticate", bearerChallenge(challenge)],
      ["Content-Type", "application/json"],
      ["Cache-Control", "no-store"],
    ],
    body: `${JSON.stringify({ error, error_description: description })}\n`,
  };
}

/** Returns an error that is no matter of credentials. */
export function errorAnswer(status: number, error: string, reason: string): Answer {
  return {
    status,
    reason,
    fields: [
      ["Content-Type", "application/json"],
      ["Cache-Control", "no-store"],
    ],
    body: `${JSON.stringify({ error })}\n`,
  };
}

/** Returns an error as an MCP server would put it, so that clients recognise it; without an id, which is not known here. */
export function rpcAnswer(
  status: number,
  { code, message }: { readonly code: number; readonly message: string },
  reason: string,
): Answer {
  return {
    status,
    reason,
    fields: [
      ["Content-Type", "application/json"],
      ["Cache-Control", "no-store"],
    ],
    body: `${JSON.stringify({ jsonrpc: "2.0", error: { code, message }, id: null })}\n`,
  };
}

/** Returns the answer with more fields behind its own. */
export function withFields(answer: Answer, fields: Answer["fields"]): Answer {
  return { ...answer, fields: [...answer.fields, ...fields] };
}
