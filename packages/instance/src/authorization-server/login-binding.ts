import { createHmac, timingSafeEqual } from "node:crypto";
import { generateCookie, getCookie } from "hono/cookie";
import { bearerHash } from "@gatehouse/shared/redis-keys";
import type { SealingKeys } from "@gatehouse/shared/sealing";
import type { HostContext } from "./endpoints.ts";
import { randomValue } from "./sent-login.ts";

/** `__Host-`: set by this very host over TLS, for all of it, so that no neighbour can plant one. */
const CONSENT_COOKIE = "__Host-gatehouse-consent";
const LOGIN_COOKIE = "__Host-gatehouse-login";
const VALUE_FORM = /^[\w-]{43}$/;
/** Enough to keep the logins of one browser apart; what counts is the value. */
const TAG_LENGTH = 10;

/** A token for one consent form, and the cookie without which it is worth nothing. */
export interface FormBinding {
  readonly csrfToken: string;
  /** `Set-Cookie` value. */
  readonly cookie: string;
}

/** What ties a login's two pages to the browser that has them open: form to cookie, `state` to cookie. */
export class LoginBinding {
  readonly #key: Buffer;
  readonly #seconds: number;

  /** @param seconds how long a login may take. */
  constructor(sealing: SealingKeys, seconds: number) {
    this.#key = sealing.derive("consent", 32);
    this.#seconds = seconds;
  }

  /** Makes the token of a consent form. A browser keeps its cookie, so that forms open side by side all stay good. */
  bindForm(c: HostContext, uid: string): FormBinding {
    const known = getCookie(c, CONSENT_COOKIE);
    const value = known !== undefined && VALUE_FORM.test(known) ? known : randomValue();
    return { csrfToken: this.#token(uid, value), cookie: this.#cookie(CONSENT_COOKIE, value) };
  }

  /** True when this token was made for this form in this browser. */
  isFormBound(c: HostContext, uid: string, csrfToken: string): boolean {
    const value = getCookie(c, CONSENT_COOKIE);
    return value !== undefined && isSame(csrfToken, this.#token(uid, value));
  }

  /** Returns the cookie that lets this browser, and no other, come back with `state`; one for each login that is under way. */
  bindState(state: string): string {
    return this.#cookie(stateCookie(state), state);
  }

  isStateBound(c: HostContext, state: string): boolean {
    const value = getCookie(c, stateCookie(state));
    return value !== undefined && isSame(state, value);
  }

  /** Returns the cookie that takes {@link bindState}'s away. */
  releaseState(state: string): string {
    return generateCookie(stateCookie(state), "", { ...ATTRIBUTES, maxAge: 0 });
  }

  #token(uid: string, value: string): string {
    return createHmac("sha256", this.#key).update(`${uid} ${value}`).digest("base64url");
  }

  #cookie(name: string, value: string): string {
    return generateCookie(name, value, { ...ATTRIBUTES, maxAge: this.#seconds });
  }
}

/** Lax and not Strict: the browser comes back from the provider by a link. */
const ATTRIBUTES = { path: "/", secure: true, httpOnly: true, sameSite: "Lax" } as const;

function stateCookie(state: string): string {
  return `${LOGIN_COOKIE}-${bearerHash(state).slice(0, TAG_LENGTH)}`;
}

function isSame(one: string, other: string): boolean {
  const [left, right] = [Buffer.from(one), Buffer.from(other)];
  return left.length === right.length && timingSafeEqual(left, right);
}
