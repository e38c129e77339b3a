import type { Passage } from "../identity-headers.ts";
import { withSharedFields } from "./cors.ts";

export interface GuardedPassageOptions {
  /** Of the page that asks, already allowed. */
  readonly origin: string | undefined;
  readonly body: Buffer | undefined;
  /** Told the MCP session id of a successful response. */
  readonly onSession: ((sessionId: string) => void) | undefined;
}

/** Cookies of the authorization server's pages, whatever prefix guards them. */
const OWN_COOKIE = /^(?:__Secure-|__Host-)?gatehouse-/;
const SESSION_FIELD = "mcp-session-id";
/** Ids are visible ASCII (MCP 2025-11-25, Session Management); nobody makes longer ones. */
const MAX_SESSION_ID = 1024;

/** What happens to the fields of an exchange on a protected host. */
export class GuardedPassage implements Passage {
  readonly body?: Buffer;
  readonly #options: GuardedPassageOptions;

  constructor(options: GuardedPassageOptions) {
    this.#options = options;
    if (options.body !== undefined) this.body = options.body;
  }

  /** The token is for this host and must not go any further (MCP, Access Token Privilege Restriction), and so with its cookies. */
  requestFields(fields: readonly string[]): string[] {
    const kept: string[] = [];
    for (let i = 0; i + 1 < fields.length; i += 2) {
      const name = fields[i] ?? "";
      const value = fields[i + 1] ?? "";
      const lower = name.length === 13 || name.length === 6 ? name.toLowerCase() : "";
      if (lower === "authorization") continue;
      if (lower !== "cookie") kept.push(name, value);
      else if (!value.includes("gatehouse-")) kept.push(name, value);
      else {
        const others = value.split(";").filter((cookie) => !OWN_COOKIE.test(cookie.trim()));
        if (others.length > 0) kept.push(name, others.join(";").trim());
      }
    }
    return kept;
  }

  responseFields(status: number, fields: readonly string[]): readonly string[] {
    const { onSession, origin } = this.#options;
    if (onSession !== undefined && status >= 200 && status < 300) {
      const sessionId = valueOf(fields, SESSION_FIELD);
      if (sessionId !== undefined && sessionId.length <= MAX_SESSION_ID) onSession(sessionId);
    }
    return withSharedFields(fields, origin);
  }
}

function valueOf(fields: readonly string[], wanted: string): string | undefined {
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? "";
    if (name.length === wanted.length && name.toLowerCase() === wanted) return fields[i + 1];
  }
  return undefined;
}
