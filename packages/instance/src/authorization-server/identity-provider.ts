import type { Identity } from "../oauth/identity.ts";

/** One trip of a browser to the provider and back. */
export interface LoginTrip {
  /** Unguessable, single use, bound to the browser by the caller. */
  readonly state: string;
  /** PKCE towards the provider (RFC 7636), 43 characters; never leaves this process but to the provider's token endpoint. */
  readonly codeVerifier: string;
  /** This host's `/callback`. */
  readonly redirectUri: string;
  /** A list names organisations or teams: ask for them, at the price of a wider scope. */
  readonly needsMembership: boolean;
}

export type Memberships = Pick<Identity, "organisations" | "teams">;

export interface FinishedLogin {
  readonly identity: Identity;
  /** What to ask about memberships with later; only where they were needed. */
  readonly membershipToken: string | undefined;
}

/** Says who somebody is. All methods but the constructor may reject with {@link IdentityProviderError}. */
export interface IdentityProvider {
  /** Prefix of its uids, and the value of `identity_provider` in a host config. */
  readonly name: "github" | "oidc";
  /** As a person knows it. */
  readonly title: string;
  /** Returns where to send the browser. `chooseAccount`: ask which account even when one is signed in. */
  begin(trip: LoginTrip & { readonly chooseAccount: boolean }): Promise<URL>;
  /** Learns who came back, from the query of `/callback`, which holds no `error`. */
  finish(trip: LoginTrip & { readonly params: URLSearchParams }): Promise<FinishedLogin>;
  /** Asks for memberships again, at a refresh. */
  recheck(membershipToken: string): Promise<Memberships>;
}

/**
 * `refused`: the provider says no, or what it says can't be trusted. `unavailable`: it can't say just now.
 * `misconfigured`: it does not know this host's application, which only the operator can mend.
 */
export type IdentityProviderProblem = "refused" | "unavailable" | "misconfigured";

/** Why a provider gave no identity. The message is for the record: no token, code or secret, nothing a person chose. */
export class IdentityProviderError extends Error {
  override readonly name = "IdentityProviderError";
  readonly kind: IdentityProviderProblem;

  constructor(kind: IdentityProviderProblem, message: string, options?: { cause: unknown }) {
    super(message, options);
    this.kind = kind;
  }
}

/** Errors in the query of `/callback` that say who has to act; every other one is a refusal. */
const CALLBACK_PROBLEMS: ReadonlyMap<string, IdentityProviderProblem> = new Map([
  ["temporarily_unavailable", "unavailable"],
  ["server_error", "unavailable"],
  ["redirect_uri_mismatch", "misconfigured"],
  ["application_suspended", "misconfigured"],
  ["invalid_scope", "misconfigured"],
  ["invalid_request", "misconfigured"],
  ["unauthorized_client", "misconfigured"],
]);

/** Returns the error that a provider sent the browser back with (RFC 6749 section 4.1.2.1); undefined when there is none. */
export function callbackError(params: URLSearchParams): IdentityProviderError | undefined {
  const error = params.get("error");
  if (error === null) return undefined;
  const kind = CALLBACK_PROBLEMS.get(error) ?? "refused";
  // Anyone can write this query; only a word of the protocol is repeated.
  const word = error === "access_denied" || CALLBACK_PROBLEMS.has(error) ? error : "an unknown error";
  return new IdentityProviderError(kind, `the provider sent the browser back with ${word}`);
}
