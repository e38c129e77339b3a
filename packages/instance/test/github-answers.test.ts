import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { GitHub } from "../src/authorization-server/github.ts";

type Answer = (response: ServerResponse) => void;

const APP = { clientId: "id", clientSecret: "s" };

let server: Server;
let place: { url: string; apiUrl: string };
let github: GitHub;
let answers: Record<string, Answer>;
let asked: string[];

beforeAll(async () => {
  server = createServer((request, response) => {
    const path = (request.url ?? "").split("?", 1)[0] ?? "";
    asked.push(path);
    (answers[path] ?? json(404, { message: "Not Found" }))(response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  place = { url, apiUrl: url };
  github = new GitHub(APP, place);
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  asked = [];
  answers = {
    "/login/oauth/access_token": json(200, { access_token: "gho_x", token_type: "bearer", scope: "" }),
    "/user": json(200, { login: "octocat", id: 583_231, email: "public@example.com" }),
    "/user/emails": json(200, [{ email: "o@example.com", primary: true, verified: true, visibility: null }]),
  };
});

function json(status: number, value: unknown, headers: Record<string, string> = {}): Answer {
  return (response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));
  };
}

const finish = async (by = github) =>
  await by.finish({
    state: "s",
    codeVerifier: "v".repeat(43),
    redirectUri: "https://host.example/callback",
    needsMembership: false,
    params: new URLSearchParams({ code: "c" }),
  });

describe("what GitHub may answer", () => {
  test("the address is the verified primary one, never the one in the profile", async () => {
    expect((await finish()).identity).toMatchObject({ email: "o@example.com", emailVerified: true });
    for (const emails of [
      [{ email: "o@example.com", primary: true, verified: false }],
      [],
      { message: "x" },
    ]) {
      answers["/user/emails"] = json(200, emails);
      expect((await finish()).identity).toMatchObject({ email: null, emailVerified: false });
    }
    answers["/user/emails"] = json(404, { message: "Not Found" });
    expect((await finish()).identity.email).toBeNull();
  });

  test.each<[string, string, Answer, string]>([
    ["/user", "a login that breaks lines", json(200, { login: "a\r\nX-Auth-User: b", id: 1 }), "unavailable"],
    ["/user", "an id that is text", json(200, { login: "octocat", id: "583231" }), "unavailable"],
    ["/user", "no id", json(200, { login: "octocat" }), "unavailable"],
    ["/user", "a page", (response) => response.writeHead(200).end("<html>"), "unavailable"],
    ["/user", "bad credentials", json(401, { message: "Bad credentials" }), "refused"],
    ["/user", "forbidden", json(403, { message: "Forbidden" }), "refused"],
    ["/user", "a second limit", json(403, { message: "x" }, { "retry-after": "60" }), "unavailable"],
    ["/user", "too many requests", json(429, { message: "x" }), "unavailable"],
    ["/user", "a fault", json(500, { message: "x" }), "unavailable"],
    ["/user", "an endless body", endless, "unavailable"],
    ["/user", "a redirect", json(301, {}, { location: "/elsewhere" }), "refused"],
    ["/login/oauth/access_token", "a redirect", json(302, {}, { location: "/elsewhere" }), "refused"],
    ["/login/oauth/access_token", "no such app", json(404, { error: "Not Found" }), "misconfigured"],
    [
      "/login/oauth/access_token",
      "an error in 200",
      json(200, { error: "bad_verification_code" }),
      "refused",
    ],
    [
      "/login/oauth/access_token",
      "an empty token",
      json(200, { access_token: "", token_type: "bearer" }),
      "refused",
    ],
    [
      "/login/oauth/access_token",
      "a token of another type",
      json(200, { access_token: "x", token_type: "mac" }),
      "refused",
    ],
  ])("%s with %s", async (...[path, _title, answer, kind]) => {
    answers[path] = answer;
    await expect(finish()).rejects.toMatchObject({ name: "IdentityProviderError", kind });
    expect(asked).not.toContain("/elsewhere");
  });

  test.each<[string, Answer]>([
    ["no answer", () => {}],
    ["half a body", (response) => response.writeHead(200).write("{")],
  ])("%s is not waited for without end", async (_title, answer) => {
    answers["/login/oauth/access_token"] = answer;
    const impatient = new GitHub(APP, place, { timeoutMs: 100 });
    await expect(finish(impatient)).rejects.toMatchObject({ kind: "unavailable" });
  });

  test("an error is repeated only in GitHub's own words", async () => {
    answers["/login/oauth/access_token"] = json(200, { error: "see\nhttps://evil.example" });
    await expect(finish()).rejects.toMatchObject({ message: "access_token: status 200" });
  });
});

/** More than anyone reads. */
function endless(response: ServerResponse): void {
  response.writeHead(200);
  const write = (): void => {
    while (!response.destroyed && response.write("x".repeat(65_536)));
  };
  response.on("drain", write);
  write();
}

test("nothing of an answer is in the error, not even where it can't be sent back as a header", async () => {
  const secret = fc.stringMatching(/^[a-z0-9]{24}$/).map((text) => `${text}7`);
  const places: ((text: string) => Record<string, Answer>)[] = [
    (text) => ({ token: json(200, { access_token: `${text}\n${text}`, token_type: "bearer" }) }),
    (text) => ({ token: json(200, { access_token: `${text}\u2713`, token_type: "bearer" }) }),
    (text) => ({ token: json(200, { error: text, error_description: text, error_uri: text }) }),
    (text) => ({ token: json(404, { error: `x ${text}` }, { "x-request": text }) }),
    (text) => ({ token: (response) => response.end(text) }),
    (text) => ({ token: (response) => response.socket?.end(`HTTP/1.1 2 ${text}\r\nA ${text}: 1\r\n\r\n`) }),
    (text) => ({ user: json(200, { id: text, login: `${text} ${text}` }) }),
    (text) => ({ user: json(401, { message: text }) }),
  ];
  await fc.assert(
    fc.asyncProperty(secret, fc.constantFrom(...places), async (text, place) => {
      const { token = answers["/login/oauth/access_token"], user = answers["/user"] } = place(text);
      answers = {
        ...answers,
        ...(token && { "/login/oauth/access_token": token }),
        ...(user && { "/user": user }),
      };
      const error: unknown = await finish().catch((reason: unknown) => reason);
      expect(error).toMatchObject({ name: "IdentityProviderError" });
      expect(String(error)).not.toContain(text.slice(0, 8));
    }),
    { numRuns: 60 },
  );
});
