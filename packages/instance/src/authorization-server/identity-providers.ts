import type { HostConfig } from "@gatehouse/shared/host-config";
import { GitHub } from "./github.ts";
import type { GitHubSettings } from "./github-options.ts";
import type { IdentityProvider } from "./identity-provider.ts";
import { loginApplication } from "./login-application.ts";
import { OpenIdProvider } from "./openid-provider.ts";
import type { ProviderHttpOptions } from "./provider-http.ts";

/** The identity provider that a host config asks for, kept while the config goes on asking for the same. */
export class IdentityProviders {
  readonly #github: GitHubSettings;
  readonly #http: ProviderHttpOptions;
  #current: { readonly asked: string; readonly provider: IdentityProvider | undefined } | undefined;

  constructor(github: GitHubSettings, http: ProviderHttpOptions = {}) {
    this.#github = github;
    this.#http = http;
  }

  /** Returns undefined when the host has no application there, neither its own nor the process's: then nobody can log in. */
  of(config: HostConfig): IdentityProvider | undefined {
    const asked = JSON.stringify([
      config.identity_provider,
      config.github_client_id,
      config.github_client_secret,
      config.oidc_issuer,
      config.oidc_client_id,
      config.oidc_client_secret,
    ]);
    if (this.#current?.asked !== asked) this.#current = { asked, provider: this.#make(config) };
    return this.#current.provider;
  }

  #make(config: HostConfig): IdentityProvider | undefined {
    const application = loginApplication(config, this.#github);
    switch (application?.kind) {
      case "oidc":
        return new OpenIdProvider(application, this.#http);
      case "github":
        return new GitHub(application.app, this.#github, this.#http);
      case undefined:
        return undefined;
    }
  }
}
