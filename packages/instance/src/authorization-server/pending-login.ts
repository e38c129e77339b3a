import type { App } from "../app.ts";
import type { GrantedIdentity, Identity } from "../oauth/identity.ts";
import type { PageProblem } from "./engine-exchange.ts";
import type { Trace } from "./request-trace.ts";

/** An authorization that waits for its person: what the consent page shows and the login decides on. */
export interface PendingLogin {
  readonly uid: string;
  readonly client: {
    readonly id: string;
    /** As the client calls itself: unverified, to be escaped and never taken for a proof. */
    readonly name: string | undefined;
    readonly uri: string | undefined;
    /** The id is the URL of a metadata document: its host vouches for name and redirect URIs. */
    readonly isMetadataDocument: boolean;
  };
  readonly redirectUri: string;
  /** Hostname with any port, or the scheme: to be shown (MCP, "Localhost Redirect URI Risks"). */
  readonly redirectHost: string;
  /** Every redirect URI of the client is loopback: any program on the person's machine could pose as it. */
  readonly isLoopbackOnly: boolean;
  /** Scopes the client asked for and this host knows; undefined when it asked for none of them. */
  readonly requestedScopes: readonly string[] | undefined;
  /** Canonical resources (`oauth/resource.ts`). */
  readonly resources: readonly string[];
}

/** A person who came back from the identity provider and may have something here. */
export interface LoginOutcome {
  readonly identity: Identity;
  /** What is granted, in the order in which the token shall list it; never empty. */
  readonly scopes: readonly string[];
  /** Kept sealed with the grant, for {@link Login.reassess}. */
  readonly membershipToken?: string | undefined;
}

/** Why a person came back with nothing; goes to the client as it is (RFC 6749 section 4.1.2.1). */
export interface LoginRefusal {
  readonly error: "access_denied" | "server_error" | "temporarily_unavailable";
  readonly description: string;
}

/** What the authorization server does for the login. */
export interface PendingLogins {
  /**
   * Returns the authorization of this page. Undefined when there is none, and when the browser that asks is not the one that
   * started it: otherwise a link to somebody else's consent page would make its reader log in for that other browser.
   * @param cookies the request's `Cookie` header.
   */
  find(uid: string, cookies: string | undefined): Promise<PendingLogin | undefined>;
  /** Records the outcome and returns where to send the browser, with 303. @throws {PendingLoginGone} when it took too long. */
  finish(uid: string, outcome: LoginOutcome): Promise<string>;
  /** Ends the authorization without a grant and returns where to send the browser. @throws {PendingLoginGone} */
  refuse(uid: string, refusal: LoginRefusal): Promise<string>;
}

/** The authorization was finished, or its time is over. */
export class PendingLoginGone extends Error {
  override readonly name = "PendingLoginGone";
}

/** What is left of a grant; `identity` replaces the stored one. */
export interface Reassessment {
  readonly identity: Identity;
  readonly scopes: readonly string[];
  readonly checkedAt: number;
}

/** What the authorization server needs of the login: everything about people. */
export interface Login {
  /** Mounts its pages: the consent page at `/interaction/:uid`, `/callback`. */
  routes(app: App, pending: PendingLogins): void;
  /** Says at each refresh what the person may still have by the host config of now; undefined for nothing any more. */
  reassess(granted: GrantedIdentity, trace: Trace): Promise<Reassessment | undefined>;
  /** The page for a person whose browser can't be sent back to the client (RFC 6749 section 4.1.2.1). */
  errorPage(problem: PageProblem): Response;
}
