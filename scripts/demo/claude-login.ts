import type { FetchLike } from "@modelcontextprotocol/client";
import type { Narrator } from "./narrator.ts";
import { discover, OAuthClient, type Tokens } from "./oauth-client.ts";
import type { Person } from "./person.ts";

/** What Claude asks for; which scopes a token gets is the host config's to say. */
const CLAUDE_SCOPE = "openid profile email";

/** A registered client, and the tokens that a person let it have. */
export interface ClaudeLogin {
  readonly client: OAuthClient;
  readonly tokens: Tokens;
}

/**
 * Gets from an MCP endpoint without a token to a token, as the logged system saw Claude do it: the same registration, the same
 * resource, the secret in the body. @throws at the first answer that is not as it must be
 */
export async function logInAsClaude(
  fetch: FetchLike,
  { endpoint, person, narrator }: { endpoint: URL; person: Person; narrator: Narrator },
): Promise<ClaudeLogin> {
  narrator.step(`Claude calls ${endpoint.hostname} without a token, and is told where to ask for one`);
  const { challenge, resourceMetadataUrl, server } = await discover(fetch, endpoint);
  narrator.detail(`POST ${endpoint.href}: 401, WWW-Authenticate: ${challenge}`);
  narrator.detail(`GET ${resourceMetadataUrl}: 200, authorization server ${server.issuer}`);
  narrator.detail(
    `GET ${server.issuer}/.well-known/oauth-authorization-server: 200, with PKCE (S256) and the endpoints ` +
      [server.registration_endpoint, server.authorization_endpoint, server.token_endpoint]
        .map((url) => new URL(url).pathname)
        .join(" "),
  );

  narrator.step("It registers itself there");
  const registration = {
    client_name: "Claude",
    redirect_uris: [person.redirectUri],
    grant_types: ["authorization_code", "refresh_token"],
    scope: CLAUDE_SCOPE,
  };
  const client = await OAuthClient.register(fetch, server, registration);
  narrator.detail(`POST ${server.registration_endpoint} ${JSON.stringify(registration)}`);
  narrator.detail(`201: ${client.id}, a secret, and ${client.registrationUrl}`);

  narrator.step(`The browser of a person, ${person.name}: consent first, then GitHub`);
  const request = client.authorize(endpoint.origin, CLAUDE_SCOPE);
  narrator.detail(
    `Claude sends it to ${request.url.origin}${request.url.pathname} with resource ${endpoint.origin}, ` +
      `scope "${CLAUDE_SCOPE}", a PKCE challenge (S256) and a state`,
  );
  const back = await person.authorize(request.url);
  const parameters = [...back.searchParams.keys()].join(", ");
  narrator.detail(`the browser ends at ${back.origin}${back.pathname} with ${parameters}`);

  narrator.step("Claude redeems the code, with its secret in the body and the PKCE verifier");
  const tokens = await client.redeem(request, back);
  narrator.detail(describeTokens(tokens));
  return { client, tokens };
}

/** Lets another person log in to the same client. */
export async function logInAnother(
  { client }: ClaudeLogin,
  { endpoint, person }: { endpoint: URL; person: Person },
): Promise<Tokens> {
  const request = client.authorize(endpoint.origin, CLAUDE_SCOPE);
  return await client.redeem(request, await person.authorize(request.url));
}

/** Says what is in an access token, which itself is never shown. */
export function describeTokens({ claims, expiresIn }: Tokens): string {
  const { sub, scope, aud } = claims;
  return (
    `POST /token: 200, an access token for ${expiresIn} s and a refresh token\n` +
    `the access token says sub "${sub}", scope "${scope}", aud ${JSON.stringify(aud)}`
  );
}
