/** Each request to a protected host tells in one word what came of its credentials. */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import type { TokenCheck } from "../src/protected-resource/token-check.ts";
import { ProtectedHost } from "./support/protected-host.ts";

const told: TokenCheck[] = [];
let host: ProtectedHost;

beforeAll(async () => {
  host = await ProtectedHost.start(
    { auth_excluded_paths: ["/open"] },
    { onTokenCheck: (result) => void told.push(result) },
  );
});
afterAll(async () => {
  await host.stop();
});

async function checksOf(path: string, authorization?: string): Promise<readonly TokenCheck[]> {
  told.length = 0;
  await host.ask(path, authorization === undefined ? {} : { headers: { authorization } });
  return [...told];
}

test("a good token is accepted, also where the request is refused for something else", async () => {
  const bearer = `Bearer ${await host.mint()}`;
  expect(await checksOf("/mcp", bearer)).toEqual(["accepted"]);
  told.length = 0;
  await host.ask("/mcp", { headers: { authorization: bearer, "mcp-session-id": "nobodys" } });
  expect(told).toEqual(["accepted"]);
});

test("no token, two of them, a bad one and too small a one are four words", async () => {
  const token = await host.mint();
  expect(await checksOf("/mcp")).toEqual(["missing"]);
  expect(await checksOf(`/mcp?access_token=${token}`, `Bearer ${token}`)).toEqual(["invalid_request"]);
  expect(await checksOf("/mcp", "Bearer nonsense")).toEqual(["malformed"]);
  expect(await checksOf("/mcp", `Bearer ${await host.mint({ scope: "user" })}`)).toEqual([
    "insufficient_scope",
  ]);
});

test("what asks for no token is no check", async () => {
  expect(await checksOf("/open")).toEqual([]);
  expect(await checksOf("/.well-known/oauth-protected-resource")).toEqual([]);
});
