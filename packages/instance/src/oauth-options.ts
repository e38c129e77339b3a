import { ConfigError } from "@gatehouse/shared/config-error";
import {
  integerOption,
  splitList,
  textOption,
  type ConfigOf,
  type Option,
} from "@gatehouse/shared/read-config";
import {
  GITHUB_OPTIONS,
  githubSettings,
  type GitHubSettings,
} from "./authorization-server/github-options.ts";
import { DEFAULT_ABUSE_LIMITS, type AbuseLimits } from "./authorization-server/abuse-limits.ts";
import {
  DEFAULT_REGISTRATION_LIMITS,
  type RegistrationLimits,
} from "./authorization-server/registration-counter.ts";
import { DEFAULT_LIFETIMES, type Lifetimes } from "./oauth/lifetimes.ts";
import { checkRedirectUri } from "./oauth/redirect-uri.ts";

const DAY = 86_400;
const YEAR = 365 * DAY;

function seconds(
  env: string,
  range: { readonly min: number; readonly max: number; readonly fallback: number },
  describe: string,
): Option<number> {
  return integerOption({ env: `GATEHOUSE_${env}_SECONDS`, describe: `Seconds ${describe}`, ...range });
}

function aMinute(env: string, fallback: number, describe: string): Option<number> {
  return integerOption({ env: `GATEHOUSE_${env}_PER_MINUTE`, describe, min: 1, max: 1_000_000, fallback });
}

/** What the authorization server and the protected resource take from the environment. Without a protected host none of it matters. */
export const OAUTH_OPTIONS = {
  ...GITHUB_OPTIONS,
  pendingLoginSeconds: seconds(
    "PENDING_LOGIN",
    { min: 60, max: 3600, fallback: DEFAULT_LIFETIMES.pendingLogin },
    "a person may take from the start of an authorization to its code.",
  ),
  codeSeconds: seconds(
    "CODE",
    { min: 5, max: 600, fallback: DEFAULT_LIFETIMES.code },
    "an authorization code may wait to be redeemed.",
  ),
  accessTokenSeconds: seconds(
    "ACCESS_TOKEN",
    { min: 10, max: DAY, fallback: DEFAULT_LIFETIMES.accessToken },
    "an access token is good for.",
  ),
  refreshTokenSeconds: seconds(
    "REFRESH_TOKEN",
    { min: 60, max: YEAR, fallback: DEFAULT_LIFETIMES.refreshToken },
    "a refresh token is good for, anew with each successor.",
  ),
  grantSeconds: seconds(
    "GRANT",
    { min: 60, max: 10 * YEAR, fallback: DEFAULT_LIFETIMES.grant },
    "from a login to the end of all its refresh tokens.",
  ),
  refreshGraceSeconds: seconds(
    "REFRESH_GRACE",
    { min: 0, max: 600, fallback: DEFAULT_LIFETIMES.refreshGrace },
    "in which a used refresh token gives the same successor again instead of revoking the grant.",
  ),
  clientSeconds: seconds(
    "CLIENT",
    { min: 60, max: 10 * YEAR, fallback: DEFAULT_LIFETIMES.client },
    "a client is kept after its last use.",
  ),
  unusedClientSeconds: seconds(
    "UNUSED_CLIENT",
    { min: 60, max: YEAR, fallback: DEFAULT_LIFETIMES.unusedClient },
    "a client is kept that was never used.",
  ),
  mcpSessionSeconds: seconds(
    "MCP_SESSION",
    { min: 60, max: YEAR, fallback: 7 * DAY },
    "an MCP session that rests stays bound to its user.",
  ),
  registrationsPerMinute: aMinute(
    "REGISTRATIONS",
    DEFAULT_REGISTRATION_LIMITS.total,
    "Client registrations that are taken within a minute (429 above it), for all redirect hosts together. Beyond it an address may make five.",
  ),
  registrationsPerRedirectHostPerMinute: aMinute(
    "REGISTRATIONS_PER_REDIRECT_HOST",
    DEFAULT_REGISTRATION_LIMITS.perRedirectHost,
    "The same for one redirect host, from one address (IPv6: one /64); all loopback hosts count as one.",
  ),
  authorizationsPerMinute: aMinute(
    "AUTHORIZATIONS",
    DEFAULT_ABUSE_LIMITS.authorizations,
    "Authorizations that may be started within a minute (429 above it). Beyond it an address may start five.",
  ),
  authorizationsPerClientPerMinute: aMinute(
    "AUTHORIZATIONS_PER_CLIENT",
    DEFAULT_ABUSE_LIMITS.authorizationsPerClient,
    "The same for one client, from one address.",
  ),
  consentsPerLoginPerMinute: aMinute(
    "CONSENTS_PER_LOGIN",
    DEFAULT_ABUSE_LIMITS.consentsPerLogin,
    "How often the consent form of one login may be sent within a minute (429 above it).",
  ),
  failuresPerMinute: aMinute(
    "TOKEN_FAILURES",
    DEFAULT_ABUSE_LIMITS.failures,
    "Requests to /token, /revoke and /introspect that may be refused within a minute. Above it (429) only those are looked at that show a code or token of this host.",
  ),
  failuresPerClientPerMinute: aMinute(
    "TOKEN_FAILURES_PER_CLIENT",
    DEFAULT_ABUSE_LIMITS.failuresPerClient,
    "The same for one client, from one address.",
  ),
  failuresPerCredentialPerMinute: aMinute(
    "TOKEN_FAILURES_PER_CREDENTIAL",
    DEFAULT_ABUSE_LIMITS.failuresPerCredential,
    "How often one code or token may be refused within a minute (429 above it).",
  ),
  metadataDocumentsPerMinute: integerOption({
    env: "GATEHOUSE_METADATA_DOCUMENTS_PER_MINUTE",
    describe:
      "Client ID metadata documents, and key sets of clients, that are fetched within a minute; for one address a third of them, and beyond the limit five.",
    min: 1,
    max: 100_000,
    fallback: 60,
  }),
  redirectSchemes: textOption({
    env: "GATEHOUSE_REDIRECT_SCHEMES",
    describe:
      "Schemes of applications that redirect URIs may have beside https and http on loopback, each with its colon.",
    expected: "schemes such as cursor:, comma separated; none that browsers serve or run themselves",
    fallback: "cursor:",
    parse: parseSchemes,
  }),
};

export type OAuthConfig = ConfigOf<typeof OAUTH_OPTIONS>;

/**
 * Returns where GitHub is, and the app for hosts that have none of their own.
 * @throws {ConfigError} when only half an app is given
 */
export function githubOf(config: OAuthConfig): GitHubSettings {
  if ((config.githubClientId === undefined) === (config.githubClientSecret === undefined))
    return githubSettings(config);
  const pair = {
    key: "GITHUB_CLIENT_ID, GITHUB_CLIENT_SECRET",
    expected: "must be given together or not at all",
  };
  throw new ConfigError("configuration can't be used", [pair]);
}

/** Returns how long things last. */
export function lifetimesOf(config: OAuthConfig): Lifetimes {
  return {
    pendingLogin: config.pendingLoginSeconds,
    code: config.codeSeconds,
    accessToken: config.accessTokenSeconds,
    refreshToken: config.refreshTokenSeconds,
    grant: config.grantSeconds,
    refreshGrace: config.refreshGraceSeconds,
    client: config.clientSeconds,
    unusedClient: config.unusedClientSeconds,
  };
}

/** Returns how many registrations are taken. */
export function registrationLimitsOf(config: OAuthConfig): RegistrationLimits {
  return {
    perRedirectHost: config.registrationsPerRedirectHostPerMinute,
    total: config.registrationsPerMinute,
  };
}

/** Returns how much else is taken. */
export function abuseLimitsOf(config: OAuthConfig): AbuseLimits {
  return {
    authorizations: config.authorizationsPerMinute,
    authorizationsPerClient: config.authorizationsPerClientPerMinute,
    consentsPerLogin: config.consentsPerLoginPerMinute,
    failures: config.failuresPerMinute,
    failuresPerClient: config.failuresPerClientPerMinute,
    failuresPerCredential: config.failuresPerCredentialPerMinute,
  };
}

/** As strict as the check of the redirect URIs themselves, so that a scheme that could never be used is refused at the start. */
function parseSchemes(text: string): readonly string[] | undefined {
  const schemes = splitList(text).map((scheme) => scheme.toLowerCase());
  const isUsable = (scheme: string): boolean => {
    const check = checkRedirectUri(`${scheme}//callback`, [scheme]);
    return /^[a-z][a-z0-9+.-]*:$/.test(scheme) && check.ok && check.kind === "private-use";
  };
  return schemes.every(isUsable) ? schemes : undefined;
}
