import type { Passage } from "../identity-headers.ts";
import { withSharedFields } from "./cors.ts";

export interface GuardedPassageOptions {
  /** Of the page that asks, already allowed. */
  readonly origin: string | undefined;
  readonly body: Buffer | undefined;
  /** Told the MCP session id of a successful response. */
  readonly onSession: ((sessionId: string) => void) | undefined;
  /** The challenge of this host for the request, as far as it is known without a fault: the value of `WWW-Authenticate`. */
  readonly challenge: () => string;
}

/** Cookies of the authorization server's pages, whatever prefix guards them. */
const OWN_COOKIE = /^(?:__Secure-|__Host-)?gatehouse-/;
/** The same as an upstream might set them: a browser sends a cookie without a name, `=gatehouse-x=1`, as one of the name that its value begins with. */
const SET_OWN_COOKIE = /^[ \t=]*(?:__Secure-|__Host-)?gatehouse-/;
/**
 * Fields by which some frameworks take another method or path than the request line's (`_` and `-` alike, as CGI folds them). Method
 * and path are what this host has judged, so here they have no second place.
 */
const OVERRIDE =
  /^x[^a-z0-9](?:(?:original|rewrite)[^a-z0-9]ur[il]|(?:http[^a-z0-9])?method(?:[^a-z0-9]override)?)$/i;
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
      if (lower === "authorization" || isOverride(name)) continue;
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
    return withSharedFields(this.#ownWord(status, fields), origin);
  }

  /**
   * Without what only this gateway may say here: its cookies, and the challenge. No credentials would ever reach the upstream, so one of
   * its own could only lead a client to another authorization server. A 401 of the upstream has ours (RFC 9110 section 15.5.2).
   */
  #ownWord(status: number, fields: readonly string[]): readonly string[] {
    if (status !== 401 && !fields.some(isGuarded)) return fields;
    const kept: string[] = [];
    for (let i = 0; i + 1 < fields.length; i += 2) {
      const name = fields[i] ?? "";
      const value = fields[i + 1] ?? "";
      const lower = name.toLowerCase();
      if (lower === "www-authenticate" || (lower === "set-cookie" && SET_OWN_COOKIE.test(value))) continue;
      kept.push(name, value);
    }
    if (status === 401) kept.push("WWW-Authenticate", this.#options.challenge());
    return kept;
  }
}

/** True for a name, or a value, that calls for a closer look. */
function isGuarded(text: string): boolean {
  return text.includes("gatehouse-") || (text.length === 16 && text.toLowerCase() === "www-authenticate");
}

/** Few names begin so: the others cost one look at a character. */
function isOverride(name: string): boolean {
  return (name.charCodeAt(0) | 0x20) === 0x78 && OVERRIDE.test(name);
}

function valueOf(fields: readonly string[], wanted: string): string | undefined {
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? "";
    if (name.length === wanted.length && name.toLowerCase() === wanted) return fields[i + 1];
  }
  return undefined;
}
