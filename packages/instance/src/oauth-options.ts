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
  registrationsPerMinute: integerOption({
    env: "GATEHOUSE_REGISTRATIONS_PER_MINUTE",
    describe: "Client registrations that are taken within a minute, for all redirect hosts together.",
    min: 1,
    max: 1_000_000,
    fallback: DEFAULT_REGISTRATION_LIMITS.total,
  }),
  registrationsPerRedirectHostPerMinute: integerOption({
    env: "GATEHOUSE_REGISTRATIONS_PER_REDIRECT_HOST_PER_MINUTE",
    describe: "The same for one redirect host; all loopback hosts count as one.",
    min: 1,
    max: 1_000_000,
    fallback: DEFAULT_REGISTRATION_LIMITS.perRedirectHost,
  }),
  metadataDocumentsPerMinute: integerOption({
    env: "GATEHOUSE_METADATA_DOCUMENTS_PER_MINUTE",
    describe: "Client ID metadata documents that are fetched within a minute.",
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

/** As strict as the check of the redirect URIs themselves, so that a scheme that could never be used is refused at the start. */
function parseSchemes(text: string): readonly string[] | undefined {
  const schemes = splitList(text).map((scheme) => scheme.toLowerCase());
  const isUsable = (scheme: string): boolean => {
    const check = checkRedirectUri(`${scheme}//callback`, [scheme]);
    return /^[a-z][a-z0-9+.-]*:$/.test(scheme) && check.ok && check.kind === "private-use";
  };
  return schemes.every(isUsable) ? schemes : undefined;
}
