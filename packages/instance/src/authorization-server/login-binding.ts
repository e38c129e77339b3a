import { createHmac, timingSafeEqual } from "node:crypto";
import { generateCookie, getCookie } from "hono/cookie";
import { bearerHash } from "@gatehouse/shared/redis-keys";
import type { SealingKeys } from "@gatehouse/shared/sealing";
import type { HostContext } from "./endpoints.ts";

/** `__Host-`: set by this very host over TLS, for all of it, so that neither a neighbour nor an upstream of one can plant it. */
const START_COOKIE = "__Host-gatehouse-start";
const LOGIN_COOKIE = "__Host-gatehouse-login";
/** Enough to keep the logins of one browser apart; what counts is the value. */
const TAG_LENGTH = 10;

/**
 * What ties the steps of a login to one browser: start to consent page, page to form, `state` to callback. The engine's own cookies
 * are for one path each and so can't have the prefix: a neighbour below the same domain could set them, and with them put a consent
 * page of its own before somebody else.
 */
export class LoginBinding {
  readonly #key: Buffer;
  readonly #seconds: number;

  /** @param seconds how long a login may take. */
  constructor(sealing: SealingKeys, seconds: number) {
    this.#key = sealing.derive("login-binding", 32);
    this.#seconds = seconds;
  }

  /** Returns the cookie of the browser that starts this authorization. */
  bindStart(uid: string): string {
    return this.#cookie(cookieName(START_COOKIE, uid), this.#code(`start ${uid}`));
  }

  isStartBound(c: HostContext, uid: string): boolean {
    return isSame(getCookie(c, cookieName(START_COOKIE, uid)), this.#code(`start ${uid}`));
  }

  /** Returns the token of this authorization's consent form; worth something only together with {@link bindStart}'s cookie. */
  formToken(uid: string): string {
    return this.#code(`form ${uid}`);
  }

  isFormBound(c: HostContext, uid: string, formToken: string | null): boolean {
    return this.isStartBound(c, uid) && isSame(formToken ?? undefined, this.formToken(uid));
  }

  /** Returns the cookie that lets this browser, and no other, come back with `state`; one for each login that is under way. */
  bindState(state: string): string {
    return this.#cookie(cookieName(LOGIN_COOKIE, state), state);
  }

  isStateBound(c: HostContext, state: string): boolean {
    return isSame(getCookie(c, cookieName(LOGIN_COOKIE, state)), state);
  }

  /** Returns what takes the cookies of a login away. */
  release({ uid, state }: { uid: string; state?: string }): string[] {
    const names = [cookieName(START_COOKIE, uid)];
    if (state !== undefined) names.push(cookieName(LOGIN_COOKIE, state));
    return names.map((name) => generateCookie(name, "", { ...ATTRIBUTES, maxAge: 0 }));
  }

  #code(text: string): string {
    return createHmac("sha256", this.#key).update(text).digest("base64url");
  }

  #cookie(name: string, value: string): string {
    return generateCookie(name, value, { ...ATTRIBUTES, maxAge: this.#seconds });
  }
}

/** Lax and not Strict: the browser comes back from the provider by a link. */
const ATTRIBUTES = { path: "/", secure: true, httpOnly: true, sameSite: "Lax" } as const;

/** One for each login that is under way, so that those side by side in a browser all stay good. */
function cookieName(kind: string, id: string): string {
  return `${kind}-${bearerHash(id).slice(0, TAG_LENGTH)}`;
}

function isSame(one: string | undefined, other: string): boolean {
  const [left, right] = [Buffer.from(one ?? ""), Buffer.from(other)];
  return left.length === right.length && timingSafeEqual(left, right);
}
