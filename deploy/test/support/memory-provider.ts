/** What the SDKs hand a provider to keep; only passed back to them, so no member matters here but these. */
interface KeptClient {
  readonly client_id: string;
}
interface KeptTokens {
  readonly access_token: string;
  readonly token_type: string;
  readonly scope?: string | undefined;
}
interface KeptDiscovery {
  readonly authorizationServerUrl: string;
}

/** An OAuth provider as an application writes it for the official SDKs, of both generations: everything in memory. */
export class MemoryProvider {
  readonly redirectUrl = "https://client.example/callback";
  readonly clientMetadata = {
    client_name: "An application on the SDK",
    redirect_uris: [this.redirectUrl],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  };
  /** Addresses a person was sent to. */
  readonly visited: URL[] = [];
  kept: KeptTokens | undefined;
  #client: KeptClient | undefined;
  #verifier = "";
  #discovery: KeptDiscovery | undefined;

  state(): string {
    return "state-of-the-application";
  }

  clientInformation(): KeptClient | undefined {
    return this.#client;
  }

  saveClientInformation(client: KeptClient): void {
    this.#client = client;
  }

  tokens(): KeptTokens | undefined {
    return this.kept;
  }

  saveTokens(tokens: KeptTokens): void {
    this.kept = tokens;
  }

  redirectToAuthorization(url: URL): void {
    this.visited.push(url);
  }

  saveCodeVerifier(verifier: string): void {
    this.#verifier = verifier;
  }

  codeVerifier(): string {
    return this.#verifier;
  }

  /** With these two the SDK checks that the code is redeemed where it came from. */
  saveDiscoveryState(discovery: KeptDiscovery): void {
    this.#discovery = discovery;
  }

  discoveryState(): KeptDiscovery | undefined {
    return this.#discovery;
  }
}
