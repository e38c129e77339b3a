import { loopbackRedirect } from "../demo/loopback-redirect.ts";
import type { JsonObject } from "../demo/json-answer.ts";
import type { Chart, Registered } from "./chart.ts";
import { authorization, registerAs } from "./client-steps.ts";
import { dropSession } from "./drop-session.ts";
import { parseObject, textIn } from "./json.ts";
import { DOCTOR, initializeCall } from "./mcp-call.ts";
import { TOKEN_VARIABLE } from "./request.ts";
import { fail, pass, skip, type Finding, type Step } from "./step.ts";

const WITHOUT_TOKEN = `no token: give --login, --token TOKEN or ${TOKEN_VARIABLE}`;

/** The login of a person, and what comes of it. */
export const tokenSteps: readonly Step[] = [
  {
    id: "token.login",
    title: "a person logs in, and the code becomes a token",
    clause: "RFC 6749 4.1.3, RFC 7636 4.5, RFC 9207 2.4",
    needs: ["http.protection", "discovery.oauth-server"],
    run: ofProtected(logIn),
  },
  {
    id: "token.refresh",
    title: "a refresh gives another token, and another refresh token",
    clause: "RFC 6749 6, RFC 9700 4.14",
    needs: ["http.protection"],
    run: ofProtected(refresh),
  },
  {
    id: "token.claims",
    title: "the token is of this host, for this endpoint, and still good",
    clause: "RFC 9068 2.2, RFC 8707 2, RFC 7519 4.1.4",
    needs: ["http.protection"],
    run: ofProtected(async (chart) => judged(chart, "token.claims", await judgeClaims(chart))),
  },
  {
    id: "token.accepted",
    title: "the endpoint takes the token",
    clause: "RFC 6750 3.1, MCP 2025-11-25 Token Handling",
    needs: ["token.claims"],
    run: ofProtected(async (chart) => judged(chart, "token.accepted", await present(chart))),
  },
];

function ofProtected(run: (chart: Chart) => Promise<Finding>): Step["run"] {
  return async (chart) =>
    chart.isProtected === true ? await run(chart) : skip("the host is open: it needs no token");
}

/** A token that is no good goes nowhere: least of all another host's. */
function judged(chart: Chart, id: string, finding: Finding): Finding {
  if (finding.outcome !== "fail") return finding;
  chart.token = undefined;
  chart.tokenRefusedBy = id;
  return finding;
}

async function logIn(chart: Chart): Promise<Finding> {
  const { login, token } = chart.request;
  chart.token = token;
  if (!login) return skip(token === undefined ? WITHOUT_TOKEN : "a token was given");
  const redirect = await loopbackRedirect("The doctor goes on in its terminal. You may close this window.");
  try {
    const registration = await registerAs(chart, DOCTOR, {
      redirectUri: redirect.uri,
      metadata: {
        client_name: DOCTOR,
        redirect_uris: [redirect.uri],
        grant_types: ["authorization_code", "refresh_token"],
        token_endpoint_auth_method: "none",
      },
    });
    const client = chart.registered.get(DOCTOR);
    if (client === undefined) return registration;
    const asked = authorization(chart, client);
    chart.tell(`open this in your browser, and log in:\n${asked.url.href}`);
    const { searchParams: answer } = await redirect.arrival(chart.stop);
    const problem = loginProblem(chart, answer, asked.state);
    if (problem !== undefined) return problem;
    return await redeem(chart, client, {
      grant_type: "authorization_code",
      code: answer.get("code") ?? "",
      redirect_uri: redirect.uri,
      code_verifier: asked.verifier,
    });
  } finally {
    redirect.close();
  }
}

function loginProblem(chart: Chart, answer: URLSearchParams, state: string): Finding | undefined {
  const error = answer.get("error");
  if (error !== null)
    return fail(`${error}: ${answer.get("error_description") ?? ""}`, {
      cause: "the person is not on the list, has no scope here, or refused",
      fix: `auth_required_users and the oauth_*_users lists of proxy:${chart.request.hostname}`,
    });
  if (answer.get("state") === state && answer.get("iss") === chart.origin) return undefined;
  return fail("state or iss came back changed", {
    cause: "the answer is another authorization's, or of another server",
    fix: "run it again, and close other windows of the same login",
  });
}

async function redeem(chart: Chart, client: Registered, grant: Record<string, string>): Promise<Finding> {
  const url = new URL(textIn(chart.server, "token_endpoint") ?? "/token", chart.origin);
  const { status, text } = await chart.wire.call(url, {
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams({ ...grant, client_id: client.id }).toString(),
  });
  const answer = parseObject(text);
  const token = textIn(answer, "access_token");
  if (status !== 200 || token === undefined)
    return fail(`POST ${url.pathname}: ${status} ${textIn(answer, "error_description") ?? ""}`, {
      cause: "the code or refresh token was used before, has ended, or its person is no longer admitted",
      fix: `scripts/gatehouse log client ${client.id} has the reason`,
    });
  chart.token = token;
  const isNew = chart.refreshToken !== textIn(answer, "refresh_token");
  chart.refreshToken = textIn(answer, "refresh_token");
  const scope = textIn(answer, "scope") ?? "";
  return pass(
    `scope ${scope}${chart.refreshToken === undefined ? ", no refresh token" : isNew ? ", a new refresh token" : ""}`,
  );
}

async function refresh(chart: Chart): Promise<Finding> {
  const client = chart.registered.get(DOCTOR);
  if (client === undefined || chart.refreshToken === undefined)
    return skip("no login of this run: there is nothing to refresh");
  return await redeem(chart, client, { grant_type: "refresh_token", refresh_token: chart.refreshToken });
}

async function judgeClaims(chart: Chart): Promise<Finding> {
  if (chart.token === undefined) return skip(WITHOUT_TOKEN);
  const claims = claimsOf(chart.token);
  if (claims === undefined)
    return fail("it is no JWT", {
      cause: "a refresh token, a client secret or a provider's own token in place of an access token",
      fix: "give the access_token of this host's /token",
    });
  const again = "log in again: gatehouse doctor … --login";
  if (claims["iss"] !== chart.origin)
    return fail(`issued by ${String(claims["iss"])}`, {
      cause: "a token of another host: hostname, issuer and audience are one, no token is good elsewhere",
      fix: `take the token from ${chart.origin}/token; ${again}`,
    });
  const audience = [claims["aud"]].flat();
  if (!audience.includes(chart.endpoint.href) && !audience.includes(chart.origin))
    return fail(`its audience is ${audience.join(", ")}`, {
      cause: "it was asked for with another resource",
      fix: `ask with resource=${chart.endpoint.href}; ${again}`,
    });
  const seconds = Number(claims["exp"]) - Math.floor(Date.now() / 1000);
  if (!(seconds > 0))
    return fail(`it expired ${-seconds} s ago`, {
      cause: "the client did not refresh it, or the clocks differ",
      fix: again,
    });
  return pass(`of ${String(claims["sub"])}, scope ${String(claims["scope"])}, good for ${seconds} s`);
}

/** What it claims; it is the host that verifies it. */
function claimsOf(token: string): JsonObject | undefined {
  const [, payload = "", signature] = token.split(".");
  return signature === undefined ? undefined : parseObject(Buffer.from(payload, "base64url").toString());
}

async function present(chart: Chart): Promise<Finding> {
  if (chart.token === undefined) return skip(WITHOUT_TOKEN);
  const bearer = { authorization: `Bearer ${chart.token}` };
  const { status, headers } = await chart.wire.call(chart.endpoint, initializeCall(bearer));
  await dropSession(chart, headers["mcp-session-id"], bearer);
  const challenge = headers["www-authenticate"] ?? "";
  const said = /error_description="([^"]*)"/.exec(challenge)?.[1] ?? challenge;
  const { hostname } = chart.request;
  if (status === 401)
    return fail(`401: ${said}`, {
      cause: "the token was revoked, its client deleted, or it is signed with a key this host does not have",
      fix: `log in again; scripts/gatehouse log status 401 --hostname ${hostname} has the reason`,
    });
  if (status === 403 && challenge.includes("insufficient_scope"))
    return fail(`403: ${said}`, {
      cause: "the token's person does not have the scope that the endpoint needs",
      fix: `oauth_mcp_users (or scope_rules) in proxy:${hostname}; then log in again`,
    });
  return pass(`not refused: ${status}`);
}
