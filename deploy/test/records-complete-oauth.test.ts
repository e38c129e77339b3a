/** What a protected host records: each step of an OAuth client with the request it came in, each refusal with its clause. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { ScriptedBrowser } from "@gatehouse/testbed/scripted-browser";
import { Claude, type TokenAnswer } from "./support/claude.ts";
import { idsOf, RecordBed } from "./support/record-bed.ts";

const KEPT = "kept.localhost";
const TIMEOUT_MS = 60_000;

let bed: RecordBed;

beforeAll(async () => {
  const config = { scope_rules: [{ mcp_method: "tools/call", tool: "delete_*", scope: "admin" }] };
  bed = await RecordBed.start([{ hostname: KEPT, config }]);
}, TIMEOUT_MS);

afterAll(async () => {
  await bed?.stop();
});

/** One of Claude, with the requests of a client that is not as well-behaved. */
class Client {
  readonly claude = new Claude(bed.protected.fetch, bed.protected.origin(KEPT));

  async logIn(login = "octocat"): Promise<TokenAnswer> {
    await this.claude.register();
    return await this.claude.authorize(async (url) => await bed.protected.logIn(url, login));
  }

  get id(): string {
    return String(this.claude.client["client_id"]);
  }

  async post(path: string, fields: Record<string, string>, secret = true): Promise<Response> {
    const { client_secret: known } = this.claude.client;
    const credentials = { client_id: this.id, client_secret: secret ? String(known) : "wrong" };
    return await ask(path, { method: "POST", body: new URLSearchParams({ ...fields, ...credentials }) });
  }

  async manage(method: "PUT" | "DELETE" | "GET", token: unknown, body?: object): Promise<Response> {
    const headers = { authorization: `Bearer ${String(token)}`, "content-type": "application/json" };
    const init = body === undefined ? {} : { body: JSON.stringify({ client_id: this.id, ...body }) };
    return await ask(`/register/${this.id}`, { method, headers, ...init });
  }
}

async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  return await bed.protected.fetch(bed.protected.origin(KEPT) + path, init);
}

async function call(
  token: string | undefined,
  message: object = {},
  fields: Record<string, string> = {},
): Promise<void> {
  const headers = {
    "content-type": "application/json",
    ...(token && { authorization: `Bearer ${token}` }),
    ...fields,
  };
  await (await ask("/mcp", { method: "POST", headers, body: JSON.stringify(message) })).text();
}

describe("a request to a protected host", () => {
  let token: string;
  beforeAll(async () => {
    token = (await new Client().logIn("hubot")).access_token;
  });

  test.each<[string, () => unknown, RegExp]>([
    [
      "with a token",
      () => call(token),
      /✓ 200 POST \/mcp \(\d+ms\)\n.*\n {2}Auth: User=hubot \| Scopes=\["user", "mcp"\] \| Client=client_/,
    ],
    ["without one", () => call(undefined), /⚠ 401 POST \/mcp \(\d+ms\) no_token \(RFC 6750 3\)/],
    [
      "with a bad one",
      () => call("nonsense"),
      /⚠ 401 POST \/mcp \(\d+ms\) invalid_token: malformed \(RFC 9068 4\)/,
    ],
    [
      "with a malformed field",
      () => call(undefined, {}, { authorization: "Bearer a b" }),
      /⚠ 400 POST \/mcp \(\d+ms\) invalid_request: no token behind Bearer \(RFC 6750 3\.1\)/,
    ],
    [
      "with too little scope",
      () => call(token, { method: "tools/call", id: 1, params: { name: "delete_all" } }),
      /⚠ 403 POST \/mcp tools\/call delete_all \(\d+ms\) insufficient_scope: needs admin .*\(RFC 6750 3\.1\)\n.*\n {2}Auth: User=hubot/,
    ],
    [
      "in a session of nobody's",
      () => call(token, {}, { "mcp-session-id": "nobodys" }),
      /⚠ 404 POST \/mcp \(\d+ms\) session_unknown \(MCP Security Best Practices/,
    ],
    [
      "from a foreign page",
      () => call(token, {}, { origin: "https://evil.example" }),
      /⚠ 403 POST \/mcp \(\d+ms\) origin_not_allowed \(MCP Streamable HTTP, Security\)/,
    ],
    [
      "for its metadata",
      () => ask("/.well-known/oauth-protected-resource"),
      /✓ 200 GET \/\.well-known\/oauth-protected-resource/,
    ],
    [
      "for other metadata",
      () => ask("/.well-known/oauth-authorization-server/x"),
      /⚠ 404 GET \/\.well-known\/oauth-authorization-server\/x \(\d+ms\) no_such_resource/,
    ],
    [
      "for reserved paths",
      () => ask("/.well-known/openid-x"),
      /⚠ 404 GET \/\.well-known\/openid-x \(\d+ms\) reserved_well_known/,
    ],
  ])("%s", async (_what, deed, matches) => {
    const record = await bed.recordOf(KEPT, deed, matches);
    expect(record.component).toBe("proxy_handler");
    expect(idsOf(record).req).toMatch(/^req-/);
  });
});

/** A browser at the consent page of a new client. */
async function atConsent(): Promise<{
  browser: ScriptedBrowser;
  page: Awaited<ReturnType<ScriptedBrowser["open"]>>;
}> {
  const client = new Client();
  await client.claude.register();
  const browser = new ScriptedBrowser(bed.protected.fetch);
  let page: Awaited<ReturnType<ScriptedBrowser["open"]>> | undefined;
  await client.claude.authorize(async (url) => (page = await browser.open(url))).catch(() => undefined);
  if (page === undefined) throw new Error("no consent page");
  return { browser, page };
}

async function choose(choice: string, change: (text: string) => string = (text) => text): Promise<void> {
  const { browser, page } = await atConsent();
  const text = change(page.text).replace(/(name="choice"[^>]*value=")[^"]*/, `$1${choice}`);
  await browser.submit({ ...page, text });
}

describe("a step of an OAuth client, and the request it came in", () => {
  let client: Client;
  let tokens: TokenAnswer;
  beforeAll(async () => {
    client = new Client();
    tokens = await client.logIn();
  });

  const json = (body: string): RequestInit => ({
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
  });
  const code = (): Record<string, string> => ({
    grant_type: "authorization_code",
    code: "nonsense",
    code_verifier: "v".repeat(43),
    redirect_uri: "https://claude.ai/api/mcp/auth_callback",
  });

  test.each<[string, () => unknown, RegExp, RegExp]>([
    [
      "registers",
      () => new Client().claude.register(),
      /● \[INFO\] client registered\n.*\n {2}Auth: Client=client_/,
      /✓ 201 POST \/register/,
    ],
    [
      "registers badly",
      () => ask("/register", json('{"redirect_uris":["http://evil.example/"]}')),
      /⚠ \[WARN\] registration refused: invalid_redirect_uri \(redirect_uris\)/,
      /⚠ 400 POST \/register \(\d+ms\) invalid_redirect_uri \(RFC 7591 3\.2\.2\)/,
    ],
    [
      "registers what is no JSON",
      () => ask("/register", json('{"secret": hunter2}')),
      /registration refused: invalid_request \(SyntaxError\)$/m,
      /⚠ 400 POST \/register \(\d+ms\) invalid_request/,
    ],
    [
      "asks with a wrong redirect URI",
      () => ask(`/authorize?response_type=code&client_id=${client.id}&redirect_uri=https://evil.example/`),
      /⚠ \[WARN\] authorization refused: invalid_redirect_uri\n.*\n.*Client=client_/,
      /⚠ 400 GET \/authorize \(\d+ms\) invalid_redirect_uri/,
    ],
    [
      "asks as nobody",
      () => ask("/authorize?response_type=code&client_id=nobody"),
      /authorization refused: invalid_client/,
      /⚠ 400 GET \/authorize \(\d+ms\) invalid_client/,
    ],
    [
      "is declined",
      () => choose("deny"),
      /● \[INFO\] the person declined\n.*\n {2}Auth: Client=/,
      /→ 303 POST \/interaction\/…/,
    ],
    [
      "shows a form that is not ours",
      () => choose("approve", (text) => text.replace(/(name="csrf_token"[^>]*value=")./, "$1x")),
      /⚠ \[WARN\] a consent form did not come from our page/,
      /⚠ 403 POST \/interaction\/… \(\d+ms\) forged_form \(RFC 6749 10\.12\)/,
    ],
    [
      "comes from another browser",
      () => ask("/interaction/nobody"),
      /⚠ \[WARN\] no authorization of this browser/,
      /⚠ 400 GET \/interaction\/… \(\d+ms\) login_gone/,
    ],
    [
      "comes back with no state",
      () => ask("/callback?state=x&code=y"),
      /⚠ \[WARN\] login refused: this browser did not start it/,
      /⚠ 400 GET \/callback \(\d+ms\) login_gone/,
    ],
    [
      "shows a wrong secret",
      () => client.post("/token", code(), false),
      /token refused: authorization_code: invalid_client .*\n.*\n {2}Auth: Client=client_/,
      /⚠ 401 POST \/token \(\d+ms\) invalid_client \(RFC 6749 5\.2\)\n.*\n {2}Auth: Client=client_/,
    ],
    [
      "shows a wrong code",
      () => client.post("/token", code()),
      /token refused: authorization_code: invalid_grant .*/,
      /⚠ 400 POST \/token \(\d+ms\) invalid_grant \(RFC 6749 5\.2\)/,
    ],
    [
      "refreshes",
      () => client.claude.refresh(tokens.refresh_token),
      /● \[INFO\] token issued: refresh_token\n.*\n {2}Auth: User=octocat \| Scopes=.*Client=client_/,
      /✓ 200 POST \/token \(\d+ms\)\n.*\n {2}Auth: User=octocat/,
    ],
    [
      "revokes with a wrong secret",
      () => client.post("/revoke", { token: tokens.access_token }, false),
      /⚠ \[WARN\] revocation refused: invalid_client/,
      /⚠ 401 POST \/revoke \(\d+ms\) invalid_client \(RFC 6749 5\.2\)/,
    ],
    [
      "introspects with a wrong secret",
      () => client.post("/introspect", { token: "x" }, false),
      /⚠ \[WARN\] introspection refused: invalid_client/,
      /⚠ 401 POST \/introspect \(\d+ms\) invalid_client \(RFC 6749 5\.2\)/,
    ],
    [
      "revokes",
      () => client.post("/revoke", { token: tokens.access_token }),
      /● \[INFO\] access token revoked\n.*\n {2}Auth: .*Client=client_/,
      /✓ 200 POST \/revoke/,
    ],
    [
      "manages with a wrong token",
      () => client.manage("GET", "nonsense"),
      /⚠ \[WARN\] registration refused: invalid_token/,
      /⚠ 401 GET \/register\/client_\S+ \(\d+ms\) invalid_token \(RFC 6750 3\.1\)/,
    ],
    [
      "changes itself",
      () =>
        client.manage("PUT", client.claude.client["registration_access_token"], {
          redirect_uris: ["https://claude.ai/api/mcp/auth_callback"],
        }),
      /● \[INFO\] client changed/,
      /✓ 200 PUT \/register\/client_/,
    ],
    [
      "deletes itself",
      () => client.manage("DELETE", client.claude.client["registration_access_token"]),
      /● \[INFO\] client deleted\n.*\n {2}Auth: Client=client_/,
      /✓ 204 DELETE \/register\/client_/,
    ],
  ])("%s", async (_what, ...row) => {
    const [deed, step, request] = row;
    const record = await bed.recordOf(KEPT, deed, step);
    const { conn = "", req = "" } = idsOf(record);
    expect(record.component).toBe("oauth");
    expect(record.text).toMatch(/Client: 127\.0\.0\.1 → Proxy: kept\.localhost/);
    expect(conn).toMatch(/^c-/);
    const joined = await bed.process(KEPT).awaitRecord(new RegExp(`proxy_handler[^]*req=${req}`));
    expect(joined.text).toMatch(request);
  });

  test.each<[string, () => unknown, RegExp]>([
    ["a method that is none", () => ask("/token"), /⚠ 405 GET \/token \(\d+ms\) method_not_allowed/],
    [
      "a body too large",
      () => ask("/token", { method: "POST", body: "x".repeat(40_000) }),
      /⚠ 413 POST \/token \(\d+ms\) content_too_large/,
    ],
    ["its keys", () => ask("/jwks"), /✓ 200 GET \/jwks/],
  ])("a request that is no step: %s", async (_what, deed, request) => {
    await bed.recordOf(KEPT, deed, request);
  });

  test("a person who may not come any more: the refusal and its request are one query", async () => {
    const late = new Client();
    const { refresh_token: refreshToken } = await late.logIn("hubot");
    const config = { auth_required_users: ["octocat"] };
    await bed.recordOf(
      KEPT,
      () => bed.protected.configure({ hostname: KEPT, upstreamUrl: bed.upstream.url, config }),
      /config in force/,
    );
    const record = await bed.recordOf(
      KEPT,
      () => late.claude.refresh(refreshToken),
      /⚠ \[WARN\] refresh refused: .*\n.*\n {2}Auth: User=hubot \| Client=client_/,
    );
    const { req = "" } = idsOf(record);
    const request = await bed.process(KEPT).awaitRecord(new RegExp(`proxy_handler[^]*req=${req}`));
    expect(request.headline).toMatch(/⚠ 400 POST \/token \(\d+ms\) invalid_grant \(RFC 6749 5\.2\)/);
    const refused = new Client();
    await bed.recordOf(
      KEPT,
      () => refused.logIn("hubot"),
      /⚠ \[WARN\] login refused: .*\n.*\n {2}Auth: User=hubot \| Client=client_/,
    );
    bed.protected.github.fail("broken");
    await bed.recordOf(KEPT, callBack, /✗ \[ERROR\] GitHub: .* answered 502\n.*\n {2}Auth: Client=client_/);
    bed.protected.github.fail();
  });

  /** Comes back from a provider that then fails. */
  async function callBack(): Promise<void> {
    const browser = new ScriptedBrowser(async (url, init) => {
      const asked = new URL(url);
      if (asked.pathname !== "/login/oauth/authorize") return await bed.protected.fetch(asked, init);
      const { searchParams: query } = asked;
      const location = `${query.get("redirect_uri")}?code=x&state=${query.get("state")}`;
      return new Response(null, { status: 302, headers: { location } });
    });
    const failing = new Client();
    await failing.claude.register();
    await failing.claude.authorize(async (url) => await browser.submit(await browser.open(url)));
  }
});
