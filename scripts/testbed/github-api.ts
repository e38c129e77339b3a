import type { IncomingMessage, ServerResponse } from "node:http";
import type { GitHubAccount } from "./github-accounts.ts";

/** What an access token stands for. */
export interface IssuedToken {
  readonly account: GitHubAccount;
  readonly scopes: readonly string[];
}

const DOCUMENTATION = "https://docs.github.com/rest";

/** Answers one request to GitHub's REST API, with the headers and error bodies it has. `find` looks up a token that is still good. */
export function answerApi(
  request: IncomingMessage,
  response: ServerResponse,
  find: (token: string) => IssuedToken | undefined,
): void {
  const agent = request.headers["user-agent"];
  if (agent === undefined || agent === "") {
    const text =
      "Request forbidden by administrative rules. Please make sure your request has a User-Agent header.\n";
    response.writeHead(403, { "content-type": "text/plain" }).end(text);
    return;
  }
  const [, presented] = /^(?:bearer|token) +(\S+)$/i.exec(request.headers.authorization ?? "") ?? [];
  if (presented === undefined) {
    sendError(response, 401, "Requires authentication");
    return;
  }
  const token = find(presented);
  if (token === undefined) {
    sendError(response, 401, "Bad credentials");
    return;
  }
  response.setHeader("x-oauth-scopes", token.scopes.join(", "));
  response.setHeader("x-ratelimit-remaining", "4999");
  const url = new URL(request.url ?? "/", "http://localhost");
  const answer = request.method === "GET" ? ROUTES[url.pathname] : undefined;
  if (answer === undefined) sendError(response, 404, "Not Found");
  else answer(response, token, url.searchParams);
}

type ApiRoute = (response: ServerResponse, token: IssuedToken, query: URLSearchParams) => void;

const ROUTES: Readonly<Record<string, ApiRoute>> = {
  "/user": (response, { account }) => sendJson(response, 200, profile(account)),
  "/user/emails": (response, { account, scopes }) => {
    if (holdsAny(scopes, ["user", "user:email"])) sendJson(response, 200, account.emails);
    else sendError(response, 404, "Not Found");
  },
  "/user/orgs": (response, { account, scopes }, query) => {
    if (!holdsAny(scopes, ["user", "read:org", "admin:org"])) {
      const message =
        "You need at least read:org scope or user scope to list your organizations with an OAuth token";
      sendError(response, 403, message);
      return;
    }
    const organisations = account.organisations.map((login, index) => ({ login, id: 9000 + index }));
    sendPage(response, organisations, query);
  },
  "/user/teams": (response, { account, scopes }, query) => {
    if (!holdsAny(scopes, ["user", "repo", "read:org", "admin:org"])) {
      sendError(response, 404, "Not Found");
      return;
    }
    const teams = account.teams.map((team, index) => {
      const [login = "", slug = ""] = team.split("/");
      return { id: 7000 + index, slug, name: slug, organization: { login } };
    });
    sendPage(response, teams, query);
  },
};

function profile({ login, id, name, email }: GitHubAccount): object {
  return {
    login,
    id,
    node_id: Buffer.from(`04:User${id}`).toString("base64"),
    avatar_url: `https://avatars.githubusercontent.com/u/${id}?v=4`,
    html_url: `https://github.com/${login}`,
    type: "User",
    site_admin: false,
    name,
    email,
    created_at: "2011-01-25T18:44:36Z",
  };
}

function holdsAny(scopes: readonly string[], wanted: readonly string[]): boolean {
  return wanted.some((scope) => scopes.includes(scope));
}

/** Thirty a page unless asked for up to a hundred. */
function sendPage(response: ServerResponse, items: readonly object[], query: URLSearchParams): void {
  const size = Math.min(Number(query.get("per_page") ?? 30), 100);
  const first = (Number(query.get("page") ?? 1) - 1) * size;
  sendJson(response, 200, items.slice(first, first + size));
}

/** Sends an error as the API words it. */
export function sendError(response: ServerResponse, status: number, message: string): void {
  sendJson(response, status, { message, documentation_url: DOCUMENTATION, status: String(status) });
}

export function sendJson(response: ServerResponse, status: number, value: object): void {
  response
    .writeHead(status, { "content-type": "application/json; charset=utf-8" })
    .end(JSON.stringify(value));
}
