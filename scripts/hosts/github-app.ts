import type { HostConfig } from "@gatehouse/shared/host-config";
import { parseHostConfig } from "@gatehouse/shared/host-config";
import type { StoredHost } from "./stored-host.ts";

/**
 * Returns a warning when the host logs people in through a GitHub app that another host uses too: an app has one callback host, so
 * GitHub would refuse the logins of one of them.
 */
export function sharedAppWarning(
  { hostname }: Pick<StoredHost, "hostname">,
  config: HostConfig,
  hosts: readonly StoredHost[],
): string | undefined {
  if (!usesGithub(config)) return undefined;
  const others = hosts.filter((other) => {
    if (other.hostname === hostname || other.config === null) return false;
    const parsed = parseHostConfig(other.config);
    return (
      parsed.ok && usesGithub(parsed.config) && parsed.config.github_client_id === config.github_client_id
    );
  });
  const callback = `https://${hostname}/callback`;
  if (others.length > 0) {
    const names = others.map((other) => other.hostname).join(", ");
    return `warning: ${names} logs in through the same GitHub app, and an app has one callback host: give ${hostname} an app of its own (github_client_id, github_client_secret) with the callback ${callback}`;
  }
  if (config.github_client_id !== undefined) return undefined;
  return `note: ${hostname} uses the GitHub app of its instance's environment (GITHUB_CLIENT_ID); its callback has to be ${callback}`;
}

function usesGithub(config: HostConfig): boolean {
  return config.auth_enabled && config.identity_provider === "github";
}
