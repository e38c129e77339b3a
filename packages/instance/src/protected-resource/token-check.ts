import { TOKEN_PROBLEMS } from "../oauth/signed-token.ts";

/** What came of the credentials of a request: a closed set, for a counter. */
export const TOKEN_CHECKS = [
  "accepted",
  "missing",
  "invalid_request",
  "insufficient_scope",
  ...TOKEN_PROBLEMS,
] as const;
export type TokenCheck = (typeof TOKEN_CHECKS)[number];
