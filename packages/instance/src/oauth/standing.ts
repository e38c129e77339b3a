import type { HostConfig } from "@gatehouse/shared/host-config";
import type { VerifiedToken } from "./access-token.ts";
import { endpointResource } from "./resource.ts";
import { grantableScopes, mayLogIn } from "./scope.ts";
import type { BearerProblem } from "./signed-token.ts";

/** Scopes in the order in which headers and records name them; others follow in the token's order. */
const ORDER: readonly string[] = ["admin", "user", "mcp"];

/**
 * Returns the scopes a genuine token has under a host config: those it was given, less what its user's lists give no more; a token
 * never gains by a change. A problem when it was made for another resource (RFC 9068 section 4), or its user may not log in (any
 * more). Pure.
 */
export function standingScopes(
  token: VerifiedToken,
  host: { readonly config: HostConfig; readonly origin: string },
): readonly string[] | BearerProblem {
  const { config, origin } = host;
  const endpoint = endpointResource({ origin, endpoint: config.resource_endpoint });
  if (!token.audience.includes(origin) && !token.audience.includes(endpoint)) {
    return { problem: "wrong_audience" };
  }
  const held = inOrder(token.scopes);
  const { identity } = token;
  // Redis is away and memberships are not known: what the lists said when the token was made has to do.
  if (identity === undefined && asksForFacts(config)) return held;
  const person = identity ?? identityOf(token);
  if (!mayLogIn(config, person)) return { problem: "user_not_allowed" };
  const grantable = grantableScopes(config, person);
  return held.filter((scope) => grantable.includes(scope));
}

function inOrder(scopes: readonly string[]): readonly string[] {
  const known = ORDER.filter((scope) => scopes.includes(scope));
  return [...known, ...scopes.filter((scope) => !ORDER.includes(scope))];
}

/** What the token itself says about its user. */
function identityOf({ uid, sub, email }: VerifiedToken): Parameters<typeof mayLogIn>[1] {
  return { uid, login: sub, email, emailVerified: false, organisations: [], teams: [] };
}

/** True when a list names what no token says: an organisation, a team, an address that has to be verified. */
function asksForFacts(config: HostConfig): boolean {
  const lists = [
    config.auth_required_users ?? [],
    config.oauth_admin_users,
    config.oauth_user_users,
    config.oauth_mcp_users,
  ];
  return lists.flat().some((entry) => /^(?:org|team|email):/.test(entry));
}
