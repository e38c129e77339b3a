import type { HostConfig } from "@gatehouse/shared/host-config";
import type { GitHubApp } from "./github.ts";
import type { GitHubSettings } from "./github-options.ts";

/** What a host's people log in with: an application at GitHub, or one at another provider. */
export type LoginApplication =
  | { readonly kind: "github"; readonly app: GitHubApp }
  | {
      readonly kind: "oidc";
      readonly issuer: string;
      readonly clientId: string;
      readonly clientSecret: string;
    };

/** Returns undefined when there is none, neither the host's own nor the process's: then nobody can log in. */
export function loginApplication(config: HostConfig, github: GitHubSettings): LoginApplication | undefined {
  if (config.identity_provider === "oidc") {
    const { oidc_issuer: issuer, oidc_client_id: clientId, oidc_client_secret: clientSecret } = config;
    if (issuer === undefined || clientId === undefined || clientSecret === undefined) return undefined;
    return { kind: "oidc", issuer, clientId, clientSecret };
  }
  const { github_client_id: clientId, github_client_secret: clientSecret } = config;
  const app = clientId === undefined || clientSecret === undefined ? github.app : { clientId, clientSecret };
  return app && { kind: "github", app };
}
