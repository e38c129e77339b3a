import { createHash, randomBytes } from "node:crypto";
import type { Chart, Registered } from "./chart.ts";
import { CLIENTS, type ClientProfile } from "./clients.ts";
import { openPage } from "./authorize-page.ts";
import { parseObject, textIn, textsIn } from "./json.ts";
import { DOCTOR, initializeCall } from "./mcp-call.ts";
import { fail, pass, skip, type Finding, type Step } from "./step.ts";

const WELL_KNOWN = { oauth: "oauth-authorization-server", openid: "openid-configuration" } as const;

/** What each real client does before a person logs in, in its own order. */
export const clientSteps: readonly Step[] = CLIENTS.flatMap((profile) => [
  {
    id: `${profile.name}.discover`,
    title: `${profile.title} finds the authorization server`,
    clause: "MCP 2025-11-25 Authorization Server Location, RFC 9728 3.3, RFC 8414 3.3",
    needs: ["http.protection"],
    run: asClient(profile, discover),
  },
  {
    id: `${profile.name}.register`,
    title: `${profile.title} registers, with its own redirect URIs and method`,
    clause: "RFC 7591 3.2, MCP 2025-11-25 Client Registration Approaches",
    needs: ["http.protection", "discovery.oauth-server"],
    run: asClient(profile, register),
  },
  {
    id: `${profile.name}.consent`,
    title: `the person whom ${profile.title} sends sees the consent page`,
    clause: "RFC 6749 4.1.1, RFC 8252 7.3, RFC 8707 2",
    needs: [`${profile.name}.register`],
    run: asClient(profile, seeConsent),
  },
]);

function asClient(
  profile: ClientProfile,
  run: (chart: Chart, profile: ClientProfile) => Promise<Finding>,
): Step["run"] {
  return async (chart) => {
    if (!chart.request.clients.includes(profile.name)) return skip("--as names another client");
    if (chart.isProtected !== true) return skip("the host is open: this client asks for no token");
    return await run(chart, profile);
  };
}

async function discover(chart: Chart, profile: ClientProfile): Promise<Finding> {
  const origin = profile.origin === undefined ? {} : { origin: profile.origin };
  const refused = await chart.wire.call(chart.endpoint, initializeCall(origin));
  if (refused.status !== 401)
    return fail(`its first call is answered with ${refused.status}, not 401`, {
      cause: profile.origin ? `${profile.origin} is not in allowed_origins` : "the endpoint changes its mind",
      fix: `add "${profile.origin ?? chart.origin}" to allowed_origins in proxy:${chart.request.hostname}`,
    });
  const asked: string[] = [];
  for (const url of resourceUrls(chart, profile, refused.headers["www-authenticate"] ?? "")) {
    asked.push(url.pathname);
    const { status, text } = await chart.wire.call(url);
    const document = status === 200 ? parseObject(text) : undefined;
    const isTaken =
      document !== undefined &&
      (!profile.comparesResource ||
        [chart.endpoint.href, chart.origin].includes(String(document["resource"])));
    const [issuer] = textsIn(document, "authorization_servers");
    if (isTaken && issuer === chart.origin) return await findServer(chart, profile, asked);
  }
  return fail(`no resource metadata that it accepts: ${asked.join(", ")}`, {
    cause: `"resource" has to be ${chart.endpoint.href}, "authorization_servers" ${chart.origin}`,
    fix: `"resource_endpoint": "${chart.endpoint.pathname}" in proxy:${chart.request.hostname}; GATEHOUSE_PUBLIC_PORT=${chart.request.port} for the instance`,
  });
}

function resourceUrls(chart: Chart, { resourceForms }: ClientProfile, challenge: string): URL[] {
  const [, named] = /\bresource_metadata="([^"]+)"/.exec(challenge) ?? [];
  const paths = {
    challenge: named,
    path: `/.well-known/oauth-protected-resource${chart.endpoint.pathname}`,
    root: "/.well-known/oauth-protected-resource",
  };
  return resourceForms
    .flatMap((form) => URL.parse(paths[form] ?? "", form === "challenge" ? undefined : chart.origin) ?? [])
    .filter((url) => url.origin === chart.origin);
}

async function findServer(chart: Chart, profile: ClientProfile, asked: string[]): Promise<Finding> {
  for (const form of profile.serverForms) {
    const url = chart.at(`/.well-known/${WELL_KNOWN[form]}`);
    asked.push(url.pathname);
    const { status, text } = await chart.wire.call(url);
    const document = status === 200 ? parseObject(text) : undefined;
    if (document?.["issuer"] === chart.origin) return pass(`by ${asked.join(", ")}`);
  }
  return fail(`no server metadata: ${asked.join(", ")}`, {
    cause: "something in front of the instance answers /.well-known/",
    fix: "let /.well-known/ through to the instance",
  });
}

async function register(chart: Chart, profile: ClientProfile): Promise<Finding> {
  const metadata = {
    // The mark by which this examination's records are told from the client's own.
    client_name: `${DOCTOR} (${profile.title})`,
    redirect_uris: profile.redirectUris,
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: profile.authMethod,
    ...profile.metadata,
  };
  return await registerAs(chart, profile.name, {
    metadata,
    redirectUri: profile.redirectUri ?? profile.redirectUris[0] ?? "",
  });
}

/** Registers and remembers what has to be deleted. */
export async function registerAs(
  chart: Chart,
  name: string,
  { metadata, redirectUri }: { readonly metadata: object; readonly redirectUri: string },
): Promise<Finding> {
  const url = URL.parse(textIn(chart.server, "registration_endpoint") ?? "");
  if (url?.origin !== chart.origin) return skip("there is no registration_endpoint on this host");
  const { status, text } = await chart.wire.call(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(metadata),
  });
  const answer = parseObject(text);
  const id = textIn(answer, "client_id");
  if (status !== 201 || id === undefined) {
    const said = `${textIn(answer, "error") ?? ""} ${textIn(answer, "error_description") ?? ""}`;
    return fail(`POST ${url.pathname}: ${status} ${said}`.trimEnd(), whyNotRegistered(chart, status));
  }
  chart.registered.set(name, {
    id,
    secret: textIn(answer, "client_secret"),
    managementUrl: textIn(answer, "registration_client_uri") ?? "",
    managementToken: textIn(answer, "registration_access_token") ?? "",
    redirectUri,
    authMethod: textIn(answer, "token_endpoint_auth_method") ?? "client_secret_basic",
  });
  return pass(`${id}, ${textIn(answer, "token_endpoint_auth_method") ?? "client_secret_basic"}`);
}

function whyNotRegistered({ request }: Chart, status: number): { cause: string; fix: string } {
  if (status === 429)
    return {
      cause:
        "too many registrations in this minute: this host's limit is reached, by others or by repeated runs",
      fix: "wait a minute; GATEHOUSE_REGISTRATIONS_PER_MINUTE of the instance",
    };
  if (status >= 500)
    return {
      cause: "the instance can't reach its Redis",
      fix: "bring Redis back; REDIS_URL of the instance",
    };
  return {
    cause: "one of its redirect URIs is not accepted here, and one is enough",
    fix: `GATEHOUSE_REDIRECT_SCHEMES=cursor: (as by default) for the instance of ${request.hostname}`,
  };
}

/** Returns the URL that a client sends a browser to, and what it keeps. */
export function authorization(
  chart: Chart,
  client: Registered,
): { readonly url: URL; readonly verifier: string; readonly state: string } {
  const verifier = randomBytes(32).toString("base64url");
  const state = randomBytes(16).toString("base64url");
  const url = new URL(textIn(chart.server, "authorization_endpoint") ?? "/authorize", chart.origin);
  url.search = new URLSearchParams({
    response_type: "code",
    client_id: client.id,
    redirect_uri: client.redirectUri,
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
    state,
    scope: chart.scopes.join(" "),
    resource: chart.endpoint.href,
  }).toString();
  return { url, verifier, state };
}

async function seeConsent(chart: Chart, profile: ClientProfile): Promise<Finding> {
  const client = chart.registered.get(profile.name);
  if (client === undefined) return skip(`needs ${profile.name}.register`);
  const page = await openPage(chart, authorization(chart, client).url);
  if (page.status === 200 && page.text.includes("<form")) return pass("the page with its form, 200");
  const error = page.location?.searchParams.get("error_description") ?? "";
  return fail(`the browser gets ${page.status} ${error}`.trimEnd(), {
    cause:
      "the authorization server refuses what this client asks for, or can't keep a login because Redis is away",
    fix: `scripts/gatehouse log client ${client.id} has the reason`,
  });
}
