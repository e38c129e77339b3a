import type { HostConfig } from "@gatehouse/shared/host-config";
import type { VerifiedToken } from "../oauth/access-token.ts";
import type { BearerProblem, TokenProblem } from "../oauth/signed-token.ts";
import { standingScopes } from "../oauth/standing.ts";
import { challengeAnswer, errorAnswer, withFields, type Answer } from "./answer.ts";
import { readBearer } from "./bearer.ts";
import { bearerChallenge } from "./challenge.ts";
import { OriginPolicy, preflightFields, sharedFields } from "./cors.ts";
import { isReservedWellKnown, metadataUrl, resourceMetadata } from "./metadata.ts";
import type { RequestHead } from "./request-head.ts";
import {
  inOrder,
  matchesPath,
  messageNeeds,
  satisfies,
  ScopeRules,
  type MessageRule,
  type RuledRequest,
} from "./scope-rules.ts";

/** A request whose path has one spelling only, so that rules may be applied to it. */
export interface JudgedRequest extends RuledRequest {
  readonly query: string;
  readonly head: RequestHead;
}

/** Who a request is from, and what the token is good for here and now. */
export interface Bearer {
  readonly token: VerifiedToken;
  readonly scopes: readonly string[];
}

/** Seconds that metadata may be kept. */
const METADATA_MAX_AGE = 300;
const METADATA_METHODS = "GET, HEAD";
/** What some upstream takes for JSON; many only look whether the one of MCP is in there somewhere. */
const JSON_TYPE = /application\/json|[+/]json(?![\w-])/i;
const ANY_ORIGIN: Answer["fields"] = [["Access-Control-Allow-Origin", "*"]];

/** What a client is told about a token that is refused, and the clause behind it. */
const PROBLEMS: Readonly<Record<TokenProblem, readonly [description: string, clause: string]>> = {
  malformed: ["The access token is malformed", "RFC 9068 4"],
  wrong_type: ["The token is not an access token", "RFC 9068 4"],
  wrong_algorithm: ["The access token is not signed with RS256", "RFC 8725 3.1"],
  unknown_key: ["The access token is not signed with a key of this server", "RFC 9068 4"],
  bad_signature: ["The signature of the access token is wrong", "RFC 9068 4"],
  wrong_issuer: ["The access token is from another issuer", "RFC 9068 4"],
  wrong_audience: ["The access token is for another resource", "RFC 9068 4"],
  expired: ["The access token expired", "RFC 6750 3.1"],
  not_yet_valid: ["The access token is not valid yet", "RFC 7519 4.1.5"],
  revoked: ["The access token was revoked", "RFC 6750 3.1"],
  user_not_allowed: ["The user may not use this host any more", "RFC 6750 3.1"],
};

/**
 * What one host config means for the requests to a protected host: pure answers to what is asked in turn by {@link ProtectedResource}.
 * Made once per config.
 */
export class ResourcePolicy {
  readonly rules: ScopeRules;
  readonly #config: HostConfig;
  readonly #origin: string;
  readonly #origins: OriginPolicy;
  /** What tokens in use are good for under this config: lists can be long. */
  readonly #standing = new WeakMap<VerifiedToken, readonly string[] | BearerProblem>();

  constructor(config: HostConfig, origin: string) {
    this.rules = new ScopeRules(config);
    this.#config = config;
    this.#origin = origin;
    this.#origins = new OriginPolicy(config, origin);
  }

  /** Returns the answer that needs no look at credentials, or the request as rules can judge it. */
  receive(head: RequestHead): Answer | JudgedRequest {
    const { method, target, contentTypes } = head;
    if (target === undefined) return errorAnswer(400, "bad_request", "bad_target");
    const { path, query } = target;
    if (!target.isCanonical) return errorAnswer(400, "bad_request", "path_not_canonical");
    const published = this.#published(path, head);
    if (published !== undefined) return published;
    if (!this.isAllowedOrigin(head)) {
      return errorAnswer(403, "origin_not_allowed", "origin_not_allowed (MCP Streamable HTTP, Security)");
    }
    if (isPreflight(head)) return { status: 204, fields: preflightFields(head.preflightFields), body: "" };
    return {
      method,
      path,
      query,
      head,
      mayBeJson: contentTypes.length > 1 || JSON_TYPE.test(contentTypes[0] ?? ""),
    };
  }

  isExcluded(path: string): boolean {
    return this.#config.auth_excluded_paths.some((entry) => matchesPath(entry, path));
  }

  /** Without Origin there is no page, and nothing to be protected from. */
  isAllowedOrigin({ origin }: RequestHead): boolean {
    return origin === undefined || this.#origins.isAllowed(origin);
  }

  /** Returns the token of the request, or the answer to a request without one. */
  credentials({ head, path, query, ...request }: JudgedRequest): string | Answer {
    const read = readBearer(head.authorization, query);
    switch (read.kind) {
      case "token":
        return read.token;
      case "missing":
        return this.noToken({ ...request, path });
      case "malformed":
        return challengeAnswer(
          400,
          {
            ...this.#challenge({ ...request, path }),
            error: "invalid_request",
            description: `There is ${read.problem}`,
          },
          { reason: `invalid_request: ${read.problem} (RFC 6750 3.1)`, tokenCheck: "invalid_request" },
        );
    }
  }

  /** Returns the answer to a request without credentials. */
  noToken(request: RuledRequest): Answer {
    const reason = { reason: "no_token (RFC 6750 3)", tokenCheck: "missing" } as const;
    return challengeAnswer(401, this.#challenge(request), reason);
  }

  /** Returns what the token is good for, when that is enough for the request short of its body; else the answer. */
  judge(request: JudgedRequest, verdict: VerifiedToken | BearerProblem): Bearer | Answer {
    if ("problem" in verdict) return this.#invalidToken(request, verdict);
    const scopes = this.#scopesOf(verdict);
    if ("problem" in scopes) return this.#invalidToken(request, scopes);
    const needed = this.rules.needs(request);
    return satisfies(scopes, needed) ? { token: verdict, scopes } : this.insufficientScope(request, []);
  }

  /** The rules about messages that these scopes may not satisfy: as long as there are any, the body has to be read. */
  openRules(request: JudgedRequest, scopes: readonly string[]): readonly MessageRule[] {
    const rules = this.rules.messageRules(request);
    if (rules.length === 0) return rules;
    return satisfies(scopes, messageNeeds(rules, [undefined])) ? [] : rules;
  }

  /** One challenge with everything the request needs (MCP 2026-07-28, Runtime Insufficient Scope Errors). */
  insufficientScope(request: RuledRequest, messageScopes: readonly string[]): Answer {
    const scopes = inOrder([...this.rules.needs(request), ...messageScopes]);
    return challengeAnswer(
      403,
      {
        ...this.#challenge(request),
        error: "insufficient_scope",
        description: `This needs the scope ${scopes.join(" and ")}`,
        scopes,
      },
      {
        reason: `insufficient_scope: needs ${scopes.join(" ")} (RFC 6750 3.1)`,
        tokenCheck: "insufficient_scope",
      },
    );
  }

  /** Returns what `WWW-Authenticate` says to a request like this one, without a fault. */
  challenge(request: RuledRequest): string {
    return bearerChallenge(this.#challenge(request));
  }

  /** Adds what lets the page that asked read the answer; metadata is for every page already. */
  shared(answer: Answer, head: RequestHead): Answer {
    if (answer.fields.some(([name]) => name === "Access-Control-Allow-Origin")) return answer;
    return withFields(answer, sharedFields(this.isAllowedOrigin(head) ? head.origin : undefined));
  }

  #scopesOf(token: VerifiedToken): readonly string[] | BearerProblem {
    let scopes = this.#standing.get(token);
    if (scopes === undefined) {
      scopes = standingScopes(token, { config: this.#config, origin: this.#origin });
      this.#standing.set(token, scopes);
    }
    return scopes;
  }

  #invalidToken(request: RuledRequest, { problem }: BearerProblem): Answer {
    const [description, clause] = PROBLEMS[problem];
    const challenge = { ...this.#challenge(request), error: "invalid_token", description } as const;
    const reason = `invalid_token: ${problem} (${clause})`;
    return challengeAnswer(401, challenge, { reason, tokenCheck: problem });
  }

  /** A first token had better be good for what the resource is used for, so the endpoint asks for its advertised scopes, too. */
  #challenge(request: RuledRequest): { readonly scopes: readonly string[]; readonly metadataUrl: string } {
    const isEndpoint = this.rules.isEndpoint(request.path);
    const needed = this.rules.needs(request);
    return {
      scopes: inOrder(isEndpoint ? [...needed, ...this.#config.resource_scopes] : needed),
      metadataUrl: metadataUrl(isEndpoint, { config: this.#config, origin: this.#origin }),
    };
  }

  #published(path: string, head: RequestHead): Answer | undefined {
    const metadata = resourceMetadata(path, { config: this.#config, origin: this.#origin });
    if (metadata === undefined) {
      if (!isReservedWellKnown(path)) return undefined;
      return withFields(errorAnswer(404, "not_found", "reserved_well_known"), ANY_ORIGIN);
    }
    if (isPreflight(head)) {
      return { status: 204, fields: [...preflightFields(head.preflightFields), ...ANY_ORIGIN], body: "" };
    }
    if (head.method !== "GET" && head.method !== "HEAD") {
      const answer = errorAnswer(405, "method_not_allowed", "method_not_allowed");
      return withFields(answer, [["Allow", METADATA_METHODS], ...ANY_ORIGIN]);
    }
    const fields: Answer["fields"] = [
      ["Content-Type", "application/json"],
      ["Cache-Control", `public, max-age=${METADATA_MAX_AGE}`],
      ...ANY_ORIGIN,
    ];
    return { status: 200, fields, body: JSON.stringify(metadata) };
  }
}

function isPreflight({ method, origin, preflightMethod }: RequestHead): boolean {
  return method === "OPTIONS" && origin !== undefined && preflightMethod !== undefined;
}
