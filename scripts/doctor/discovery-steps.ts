import type { Chart, ServerMetadata } from "./chart.ts";
import { parseObject, textIn, textsIn } from "./json.ts";
import { fail, pass, skip, type Finding, type Step } from "./step.ts";
import type { JsonObject } from "../demo/json-answer.ts";

const NEEDS = ["http.protection"];
const CLAUSE_SERVER = "RFC 8414 3.1, 3.3; MCP 2025-11-25 Authorization Server Metadata Discovery";

/** What a page of another origin sends, and must be allowed to send (MCP 2025-11-25 Streamable HTTP; 2026-07-28 Request Metadata). */
const PREFLIGHT_FIELDS = ["authorization", "content-type", "mcp-protocol-version", "mcp-session-id"];

/** Everything that says where a protected host's tokens come from, in every form that some client asks for. */
export const discoverySteps: readonly Step[] = [
  {
    id: "discovery.challenge",
    title: "the 401 says where to go",
    clause: "RFC 9728 5.1, RFC 6750 3",
    needs: NEEDS,
    run: ofProtected(readChallenge),
  },
  {
    id: "discovery.resource-path",
    title: "resource metadata in its path form names the endpoint, to the letter",
    clause: "RFC 9728 3.1, 3.3",
    needs: NEEDS,
    run: ofProtected(
      async (chart) => await readResource(chart, chart.endpoint.pathname, chart.endpoint.href),
    ),
  },
  {
    id: "discovery.resource-root",
    title: "resource metadata in its root form names the origin",
    clause: "RFC 9728 3.1, 3.3",
    needs: NEEDS,
    run: ofProtected(async (chart) => await readResource(chart, "", chart.origin)),
  },
  {
    id: "discovery.oauth-server",
    title: "server metadata in both OAuth forms, with the issuer to the letter",
    clause: CLAUSE_SERVER,
    needs: NEEDS,
    run: ofProtected(async (chart) => await readServer(chart, "oauth-authorization-server")),
  },
  {
    id: "discovery.openid-server",
    title: "server metadata in both OpenID forms",
    clause: CLAUSE_SERVER,
    needs: NEEDS,
    run: ofProtected(async (chart) => await readServer(chart, "openid-configuration")),
  },
  {
    id: "discovery.pkce",
    title: "PKCE with S256 is advertised",
    clause: "MCP 2025-11-25 Authorization Code Protection, RFC 7636 4.2",
    needs: ["discovery.oauth-server"],
    run: ofProtected(judgePkce),
  },
  {
    id: "discovery.registration",
    title: "a client can introduce itself, without a secret too",
    clause: "RFC 7591 3, MCP 2025-11-25 Client Registration Approaches",
    needs: ["discovery.oauth-server"],
    run: ofProtected(judgeRegistration),
  },
  {
    id: "discovery.scopes",
    title: "the scopes that are asked for can be granted",
    clause: "RFC 9728 2, MCP 2026-07-28 Refresh Tokens",
    needs: ["discovery.resource-path", "discovery.oauth-server"],
    run: ofProtected(judgeScopes),
  },
  {
    id: "discovery.keys",
    title: "the keys that sign tokens are published",
    clause: "RFC 7517 5, RFC 9068 4",
    needs: ["discovery.oauth-server"],
    run: ofProtected(readKeys),
  },
  {
    id: "discovery.cors",
    title: "a client in a browser may ask",
    clause: "Fetch 3.2.2, MCP 2025-11-25 Streamable HTTP",
    needs: NEEDS,
    run: ofProtected(preflight),
  },
];

/** Leaves the step out on an open host. */
function ofProtected(run: (chart: Chart) => Promise<Finding>): Step["run"] {
  return async (chart) => (chart.isProtected === true ? await run(chart) : skip("the host is open"));
}

function notOurs(chart: Chart, path: string): { cause: string; fix: string } {
  return {
    cause: `${path} is answered by something else than the instance: the host is open and its upstream asks for tokens, or a proxy in front shadows the path`,
    fix: `set "auth_enabled": true in proxy:${chart.request.hostname}, and let nothing in front answer /.well-known/`,
  };
}

async function readChallenge(chart: Chart): Promise<Finding> {
  const challenge = chart.unauthorized?.headers["www-authenticate"] ?? "";
  const [, url] = /\bresource_metadata="([^"]+)"/.exec(challenge) ?? [];
  const expected = chart.at(`/.well-known/oauth-protected-resource${chart.endpoint.pathname}`).href;
  if (!/^bearer\b/i.test(challenge) || url === undefined)
    return fail(`no Bearer challenge with resource_metadata: ${JSON.stringify(challenge)}`, {
      cause: "the 401 is not the instance's: discovery stops here for most clients",
      fix: `set "auth_enabled": true in proxy:${chart.request.hostname}, so that the instance answers in its upstream's place`,
    });
  if (url !== expected)
    return fail(`resource_metadata is ${url}, not ${expected}`, {
      cause: "resource_endpoint in the host config is another path than the one that clients call",
      fix: `set "resource_endpoint": "${chart.endpoint.pathname}" in proxy:${chart.request.hostname}, or give clients the URL it names`,
    });
  if (/\berror="/.test(challenge))
    return fail("the challenge carries error= although no token was sent", notOurs(chart, "the endpoint"));
  return pass(`resource_metadata="${url}"`);
}

async function readResource(chart: Chart, path: string, resource: string): Promise<Finding> {
  const at = `/.well-known/oauth-protected-resource${path}`;
  const { status, text } = await chart.wire.call(chart.at(at));
  const document = parseObject(text);
  if (status !== 200 || document === undefined)
    return fail(`GET ${at}: ${status}`, {
      ...notOurs(chart, at),
      ...(path === ""
        ? {}
        : { fix: `set "resource_endpoint": "${path}" in proxy:${chart.request.hostname}` }),
    });
  const issuers = textsIn(document, "authorization_servers");
  if (document["resource"] !== resource || !issuers.includes(chart.origin))
    return fail(`it names resource ${String(document["resource"])}, servers ${issuers.join(", ")}`, {
      cause: `a client compares with ${resource} and ${chart.origin}, and discards what differs`,
      fix: `GATEHOUSE_PUBLIC_PORT=${chart.request.port} and GATEHOUSE_HOSTNAME=${chart.request.hostname} for the instance`,
    });
  if (path !== "") chart.scopes = textsIn(document, "scopes_supported");
  return pass(`resource ${resource}`);
}

async function readServer(chart: Chart, kind: string): Promise<Finding> {
  for (const path of ["", chart.endpoint.pathname]) {
    const at = `/.well-known/${kind}${path}`;
    const { status, text } = await chart.wire.call(chart.at(at));
    const document = parseObject(text);
    if (status !== 200 || document === undefined) return fail(`GET ${at}: ${status}`, notOurs(chart, at));
    const issuer = textIn(document, "issuer");
    if (issuer !== chart.origin)
      return fail(`${at} says issuer ${String(issuer)}, not ${chart.origin}`, {
        cause: "clients compare the issuer to the letter (RFC 8414 3.3)",
        fix: `GATEHOUSE_PUBLIC_PORT=${chart.request.port} for the instance`,
      });
    chart.server ??= { ...document, issuer } satisfies ServerMetadata;
  }
  return pass(`issuer ${chart.origin}, at the root and with the path inserted`);
}

async function judgePkce(chart: Chart): Promise<Finding> {
  const methods = textsIn(chart.server, "code_challenge_methods_supported");
  if (methods.includes("S256")) return pass(methods.join(", "));
  return fail(
    `code_challenge_methods_supported: ${methods.join(", ") || "absent"}`,
    notOurs(chart, "/.well-known/oauth-authorization-server"),
  );
}

async function judgeRegistration(chart: Chart): Promise<Finding> {
  const endpoint = textIn(chart.server, "registration_endpoint");
  const methods = textsIn(chart.server, "token_endpoint_auth_methods_supported");
  if (endpoint !== undefined && methods.includes("none"))
    return pass(`${endpoint}; token endpoint takes ${methods.join(", ")}`);
  return fail(
    `registration_endpoint ${endpoint ?? "absent"}, methods ${methods.join(", ")}`,
    notOurs(chart, "/.well-known/oauth-authorization-server"),
  );
}

async function judgeScopes(chart: Chart): Promise<Finding> {
  const { scopes, request } = chart;
  const granted = textsIn(chart.server, "scopes_supported");
  const missing = scopes.filter((scope) => !granted.includes(scope));
  if (missing.length > 0)
    return fail(`${missing.join(" ")} is asked for and never granted`, {
      cause:
        "resource_scopes names a scope that auth_allowed_scopes does not have, or that no list gives to anybody",
      fix: `in proxy:${request.hostname} make resource_scopes a part of auth_allowed_scopes, or name people in ${missing.map((scope) => `oauth_${scope}_users`).join(", ")}`,
    });
  if ([...scopes, ...granted].includes("offline_access"))
    return fail("offline_access is listed", {
      cause: "clients that see it ask for it, and for consent each time",
      fix: `take offline_access out of resource_scopes and auth_allowed_scopes in proxy:${request.hostname}`,
    });
  return pass(`asked for: ${scopes.join(" ")}; granted here: ${granted.join(" ")}`);
}

async function readKeys(chart: Chart): Promise<Finding> {
  const url = URL.parse(textIn(chart.server, "jwks_uri") ?? "");
  if (url?.origin !== chart.origin) return fail("no jwks_uri of this host", notOurs(chart, "jwks_uri"));
  const { status, text } = await chart.wire.call(url);
  const keys: unknown = parseObject(text)?.["keys"];
  const list: readonly JsonObject[] = Array.isArray(keys) ? keys : [];
  if (status === 200 && list.length > 0) return pass(`${list.length} at ${url.pathname}`);
  return fail(`GET ${url.pathname}: ${status}, no keys`, {
    cause: "the signing keys could not be opened",
    fix: "give the instance the GATEHOUSE_SECRET_KEY that its keys in Redis were sealed with",
  });
}

async function preflight(chart: Chart): Promise<Finding> {
  // From the host's own origin: which others may call is the host config's to say.
  const origin = chart.origin;
  for (const path of [
    chart.endpoint.pathname,
    "/register",
    "/token",
    "/.well-known/oauth-authorization-server",
  ]) {
    const { status, headers } = await chart.wire.call(chart.at(path), {
      method: "OPTIONS",
      headers: {
        origin,
        "access-control-request-method": path.startsWith("/.well-known") ? "GET" : "POST",
        "access-control-request-headers": PREFLIGHT_FIELDS.join(", "),
      },
    });
    const allowed = headers["access-control-allow-origin"];
    if (status >= 300 || (allowed !== "*" && allowed !== origin))
      return fail(`OPTIONS ${path}: ${status}, Access-Control-Allow-Origin ${allowed ?? "absent"}`, {
        cause: "allowed_origins leaves the host's own origin out, or something in front answers preflights",
        fix: `add "${origin}" to allowed_origins in proxy:${chart.request.hostname}`,
      });
  }
  return pass("preflights of the endpoint, /register, /token and the metadata are allowed");
}
