/** Where a client may have its users sent back to: RFC 8252 section 7, RFC 9700 section 2.1. */
import { describe, expect, test } from "@jest/globals";
import { checkRedirectUri } from "../src/oauth/redirect-uri.ts";

const SCHEMES = ["cursor:", "vscode:"];

test.each([
  ["https://client.example/cb", "https", "client.example"],
  ["HTTPS://client.example/cb", "https", "client.example"],
  ["https://client.example:8443/cb?x=1", "https", "client.example:8443"],
  ["https://client.example", "https", "client.example"],
  ["https://client.example/a@b", "https", "client.example"],
  ["https://client.example/cb?to=a://b@c", "https", "client.example"],
  ["http://localhost/cb", "loopback", "localhost"],
  ["http://localhost", "loopback", "localhost"],
  ["http://localhost?x", "loopback", "localhost"],
  ["HTTP://LocalHost:7/cb", "loopback", "localhost:7"],
  ["http://127.0.0.1:54321/cb", "loopback", "127.0.0.1:54321"],
  ["http://[::1]:54321/cb", "loopback", "[::1]:54321"],
  ["cursor://anysphere.cursor-retrieval/oauth/callback", "private-use", "cursor:"],
  ["cursor:/callback", "private-use", "cursor:"],
])("%s is taken as %s, and shown as %s", (uri, kind, host) => {
  expect(checkRedirectUri(uri, SCHEMES)).toEqual({ ok: true, kind, host });
});

const TEXT = "must be a URI: printable ASCII, no spaces, no backslash";
const PLAIN = "must be https unless it is localhost, 127.0.0.1 or [::1]";

test.each([
  ["", TEXT],
  [" https://client.example/cb", TEXT],
  ["https://client.example/cb ", TEXT],
  ["https://client.example/\u{7f}", TEXT],
  ["https://client.example/\u{e9}", TEXT],
  ["https://client.example\\@evil.example/cb", TEXT],
  ["https://client.example/cb#", "must not have a fragment"],
  ["https://client.example/*", "must not have a wildcard"],
  ["https://user@client.example/cb", "must not have userinfo"],
  ["https://user:password@client.example", "must not have userinfo"],
  ["http://localhost@evil.example/cb", "must not have userinfo"],
  ["cursor://user@host/cb", "must not have userinfo"],
  ["/relative", "must be an absolute URI"],
  ["client.example", "must be an absolute URI"],
  ["https:client.example/cb", "must have a host"],
  ["https:///client.example", "must have a host"],
  ["https:/client.example/cb", "must have a host"],
  ["https:/x?https://client.example/cb", "must have a host"],
  ["http://client.example/cb", PLAIN],
  ["http://client.example/?http://localhost/", PLAIN],
  ["http://localhost.evil.example/cb", PLAIN],
  ["http://localhost:123456/cb", "must be an absolute URI"],
  ["http://localhost:/cb", PLAIN],
  ["http://127.1/cb", PLAIN],
  ["http://127x0x0x1/cb", PLAIN],
  ["http://[::0:1]/cb", PLAIN],
  ["http:localhost/cb", PLAIN],
  ["myapp://callback", "must not use the scheme myapp"],
  ["xcursor://callback", "must not use the scheme xcursor"],
])("%j is refused: %s", (uri, problem) => {
  expect(checkRedirectUri(uri, SCHEMES)).toEqual({ ok: false, problem });
});

describe("a scheme that a browser would run, or read files by", () => {
  test.each([
    "about:blank",
    "blob:https://client.example/x",
    "data:text/html,x",
    "file:///etc/passwd",
    "filesystem:https://client.example/x",
    "ftp://client.example/x",
    "javascript:alert(1)",
    "vbscript:x",
    "view-source:https://client.example",
    "ws://client.example",
    "wss://client.example",
  ])("%s is refused even when it stands in the list", (uri) => {
    const scheme = uri.slice(0, uri.indexOf(":") + 1);
    expect(checkRedirectUri(uri, [scheme])).toEqual({
      ok: false,
      problem: `must not use the scheme ${scheme.slice(0, -1)}`,
    });
  });
});

test("2048 characters are taken, one more is not", () => {
  const uri = "https://client.example/".padEnd(2048, "x");
  expect(checkRedirectUri(uri, []).ok).toBe(true);
  expect(checkRedirectUri(`${uri}x`, [])).toEqual({
    ok: false,
    problem: "must have at most 2048 characters",
  });
});
