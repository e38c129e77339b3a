import { X509Certificate } from "node:crypto";
import type { ConfigProblem } from "@gatehouse/shared/config-error";
import { RESERVED_CUSTOM_HEADERS } from "@gatehouse/shared/custom-header";
import type { HostConfig } from "@gatehouse/shared/host-config";

const USER_LISTS = [
  "auth_required_users",
  "oauth_admin_users",
  "oauth_user_users",
  "oauth_mcp_users",
] as const satisfies readonly (keyof HostConfig)[];

/** What a list may name (contract section 4). Logins as wide as GitHub ever gave them: `octocat_company` is one of a company's own. */
const ENTRIES: Readonly<Record<HostConfig["identity_provider"], { form: RegExp; expected: string }>> = {
  github: {
    form: /^(?:\*|[\w-]+|id:[1-9]\d*|org:[\w-]+|team:[\w-]+\/[^\s/]+)$/,
    expected:
      "must be a login, id:<number>, org:<name>, team:<org>/<slug> or * (identity_provider is github)",
  },
  oidc: {
    form: /^(?:\*|id:.+|email:[^\s@]+@[^\s@]+)$/,
    expected: "must be id:<sub>, email:<address> or * (identity_provider is oidc)",
  },
};

/**
 * Returns what nobody can have meant in a host config that an instance would take: entries that match nobody, scopes that nobody gets,
 * headers that are never sent. Asked where one is written and not where one is read: a host that serves with it today goes on.
 */
export function documentProblems(config: HostConfig): ConfigProblem[] {
  return [
    ...USER_LISTS.flatMap((list) => entryProblems(config, list)),
    ...scopeProblems(config),
    ...headerProblems(config),
    ...authorityProblems(config),
  ];
}

function entryProblems(config: HostConfig, list: (typeof USER_LISTS)[number]): ConfigProblem[] {
  const { form, expected } = ENTRIES[config.identity_provider];
  return (config[list] ?? []).flatMap((entry, i) =>
    form.test(entry) ? [] : [{ key: `${list}.${i}`, expected }],
  );
}

function scopeProblems(config: HostConfig): ConfigProblem[] {
  const used = [
    ...config.resource_scopes.map((scope, i) => [`resource_scopes.${i}`, scope] as const),
    ...config.scope_rules.map(({ scope }, i) => [`scope_rules.${i}.scope`, scope] as const),
  ];
  return used
    .filter(([, scope]) => !config.auth_allowed_scopes.includes(scope))
    .map(([key]) => ({ key, expected: "must be one of auth_allowed_scopes" }));
}

function headerProblems({ custom_headers: headers }: HostConfig): ConfigProblem[] {
  return Object.keys(headers)
    .filter((name) => RESERVED_CUSTOM_HEADERS.has(name.toLowerCase()))
    .map((name) => ({ key: `custom_headers.${name}`, expected: "is never sent: Gatehouse sets it itself" }));
}

/** As the instance looks at it, which keeps its former config over one that it can't read. */
function authorityProblems({ target_ca_pem: pem }: HostConfig): ConfigProblem[] {
  if (pem === undefined) return [];
  try {
    void new X509Certificate(pem);
    return [];
  } catch {
    return [{ key: "target_ca_pem", expected: "must be a PEM certificate" }];
  }
}
