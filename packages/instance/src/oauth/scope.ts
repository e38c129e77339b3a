import type { HostConfig } from "@gatehouse/shared/host-config";
import type { Identity } from "./identity.ts";

/** The lists that give scopes, in the order in which tokens and headers name them (contract section 5). */
const SCOPE_LISTS = [
  ["admin", "oauth_admin_users"],
  ["user", "oauth_user_users"],
  ["mcp", "oauth_mcp_users"],
] as const satisfies readonly (readonly [string, keyof HostConfig])[];

type Provider = HostConfig["identity_provider"];

/** Entries of one meaning; anything else is a bare login. */
const PREFIXED = /^(?<kind>id|org|team|email):(?<value>.*)$/s;

/**
 * True when `auth_required_users` admits this person (contract section 4). An empty list admits nobody, `*` everyone who comes
 * from the provider that the host uses now: an identity of a former provider is nobody, whatever the lists say.
 */
export function mayLogIn(config: HostConfig, identity: Identity): boolean {
  return matchesAny(config, config.auth_required_users ?? [], identity);
}

/** Returns every scope that the lists give this person here, in the order admin user mcp; none for who may not log in. */
export function grantableScopes(config: HostConfig, identity: Identity): readonly string[] {
  if (!mayLogIn(config, identity)) return [];
  return SCOPE_LISTS.filter(
    ([scope, list]) =>
      config.auth_allowed_scopes.includes(scope) && matchesAny(config, config[list], identity),
  ).map(([scope]) => scope);
}

/**
 * Returns the scopes of a new grant: all that the lists give, or with `scope_assignment: requested` only those of them that were
 * asked for. `requested` is undefined when nothing usable was; `resource_scopes` stand in then.
 */
export function scopesFor(
  config: HostConfig,
  identity: Identity,
  requested: readonly string[] | undefined,
): readonly string[] {
  return narrowed(config, grantableScopes(config, identity), requested);
}

/** Returns the scopes that the lists give to anybody at all: what is advertised, for clients copy it whole. */
export function assignableScopes(config: HostConfig): readonly string[] {
  return SCOPE_LISTS.filter(
    ([scope, list]) => config.auth_allowed_scopes.includes(scope) && config[list].length > 0,
  ).map(([scope]) => scope);
}

/** Returns the scopes that an authorization can lead to, for whoever logs in: what a consent page must name. */
export function offeredScopes(
  config: HostConfig,
  requested: readonly string[] | undefined,
): readonly string[] {
  return narrowed(config, assignableScopes(config), requested);
}

/** True when a list names the person by login: only such a login is pinned to its first uid. */
export function isNamedByLogin(config: HostConfig, identity: Identity): boolean {
  return (
    config.identity_provider === "github" &&
    everyList(config).some((entry) => !PREFIXED.test(entry) && isSameText(entry, identity.login))
  );
}

/** True when a list names an organisation or a team, so that the provider has to be asked for them. */
export function needsMembership(config: HostConfig): boolean {
  return (
    config.identity_provider === "github" && everyList(config).some((entry) => /^(?:org|team):/.test(entry))
  );
}

/** Returns those of the memberships that a list names: what else somebody belongs to is nobody's business here. */
export function namedMemberships(
  config: HostConfig,
  memberships: Pick<Identity, "organisations" | "teams">,
): Pick<Identity, "organisations" | "teams"> {
  const entries = everyList(config);
  const isNamed = (kind: string) => (name: string) =>
    entries.some((entry) => isSameText(entry, `${kind}:${name}`));
  return {
    organisations: memberships.organisations.filter(isNamed("org")),
    teams: memberships.teams.filter(isNamed("team")),
  };
}

function narrowed(
  config: HostConfig,
  scopes: readonly string[],
  requested: readonly string[] | undefined,
): readonly string[] {
  if (config.scope_assignment === "config") return scopes;
  const usable = (requested ?? []).filter((scope) => config.auth_allowed_scopes.includes(scope));
  const wanted = usable.length > 0 ? usable : config.resource_scopes;
  return scopes.filter((scope) => wanted.includes(scope));
}

function everyList(config: HostConfig): readonly string[] {
  return [config.auth_required_users ?? [], ...SCOPE_LISTS.map(([, list]) => config[list])].flat();
}

function matchesAny(config: HostConfig, entries: readonly string[], identity: Identity): boolean {
  if (!identity.uid.startsWith(`${config.identity_provider}:`)) return false;
  return entries.some((entry) => entry === "*" || matches(entry, identity, config.identity_provider));
}

/** What each kind of entry asks of a person; bare names have no prefix. */
const KINDS: Readonly<Record<string, (value: string, identity: Identity, provider: Provider) => boolean>> = {
  id: (value, { uid }, provider) => uid === `${provider}:${value}`,
  org: (value, { organisations }) => organisations.some((name) => isSameText(name, value)),
  team: (value, { teams }) => teams.some((name) => isSameText(name, value)),
  // An address that GitHub shows is no name of the person there; logins and ids are.
  email: (value, { email, emailVerified }, provider) =>
    provider === "oidc" && email !== null && emailVerified && isSameText(email, value),
  // Names that a generic provider gives are chosen by its users.
  login: (value, { login }, provider) => provider === "github" && isSameText(login, value),
};

function matches(entry: string, identity: Identity, provider: Provider): boolean {
  const { kind = "login", value = entry } = PREFIXED.exec(entry)?.groups ?? {};
  return KINDS[kind]?.(value, identity, provider) ?? false;
}

/** Without case in ASCII only: Unicode would fold other characters into letters (U+212A into k) and so let names be forged. */
function isSameText(one: string, other: string): boolean {
  return lowerAscii(one) === lowerAscii(other);
}

function lowerAscii(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
