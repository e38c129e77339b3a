/** Names that only this gateway may set, and what it writes under them (contract section 5). */
import { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { describe, expect, test } from "@jest/globals";
import { parseHostConfig } from "@gatehouse/shared/host-config";
import {
  appendIdentityHeaders,
  isOurs,
  isReservedName,
  type ForwardContext,
  type Identity,
} from "../src/identity-headers.ts";
import type { NextTrace } from "../src/trace-context.ts";

const OURS = [
  "x-forwarded-for",
  "x-forwarded-proto",
  "x-forwarded-host",
  "x-request-id",
  "traceparent",
  "x-auth-user",
  "x-auth-subject",
  "x-auth-scopes",
  "x-auth-email",
  "x-auth-client",
];

test.each(OURS)("%s is ours: no custom header takes its place", (name) => {
  expect(isOurs(name)).toBe(true);
});

test.each(["x-auth-token", "x-forwarded", "tracestate", "host", ""])("%j is not", (name) => {
  expect(isOurs(name)).toBe(false);
});

test.each([
  ...OURS.filter((name) => name !== "traceparent"),
  "x-auth-",
  "x-auth-anything",
  "x-forwarded",
  "x-forwarded-port",
  "x-forwardedfor",
  "x-internal-",
  "x-internal-request",
  "forwarded",
  "x-real-ip",
])("%s is nothing a peer may send", (name) => {
  expect(isReservedName(name)).toBe(true);
});

test.each([
  "authorization",
  "x-auth",
  "x-authority",
  "my-x-auth-user",
  "x-internal",
  "a-x-internal-request",
  "a-x-forwarded-for",
  "forwarded-for",
  "x-real-ip-2",
  "x-request-id-2",
  "traceparent",
  "",
])("%j is a peer's to send", (name) => {
  expect(isReservedName(name)).toBe(false);
});

const OCTOCAT: Identity = {
  login: "octocat",
  uid: "github:583231",
  scopes: ["admin", "mcp"],
  clientId: "client_1",
};
const BEGUN: NextTrace = { value: "00-a-b-00", traceId: "a", isContinued: false };

function context(identity?: Identity): ForwardContext {
  const parsed = parseHostConfig(JSON.stringify({ target_url: "http://127.0.0.1:9" }));
  if (!parsed.ok) throw new TypeError(JSON.stringify(parsed.problems));
  return {
    id: "req-1",
    startedAt: 0,
    hostConfig: parsed.config,
    host: "App.Example:8443",
    connection: {
      id: "c-1",
      addresses: { source: { ip: "192.0.2.7", port: 4711 }, destination: { ip: "192.0.2.1", port: 443 } },
      socket: new TLSSocket(new Socket()),
    },
    ...(identity === undefined ? {} : { identity }),
  };
}

function appended(identity?: Identity, trace = BEGUN, tracestate: readonly string[] = []): string[] {
  const fields = ["X-Kept", "1"];
  appendIdentityHeaders(fields, context(identity), { trace, tracestate });
  return fields;
}

const ORIGIN = [
  ["X-Forwarded-For", "192.0.2.7"],
  ["X-Forwarded-Proto", "https"],
  ["X-Forwarded-Host", "App.Example:8443"],
  ["X-Request-Id", "req-1"],
  ["traceparent", "00-a-b-00"],
].flat();

describe("what is appended", () => {
  test("of a request that nobody stands behind: where it came from, and no name of a user", () => {
    expect(appended()).toEqual(["X-Kept", "1", ...ORIGIN]);
  });

  test("of somebody's: the identity, each field once, the address only where there is one", () => {
    const identity = [
      ["X-Auth-User", "octocat"],
      ["X-Auth-Subject", "github:583231"],
      ["X-Auth-Scopes", "admin mcp"],
      ["X-Auth-Client", "client_1"],
    ].flat();
    expect(appended(OCTOCAT)).toEqual(["X-Kept", "1", ...ORIGIN, ...identity]);
    expect(appended({ ...OCTOCAT, email: "o@example.com" })).toEqual([
      "X-Kept",
      "1",
      ...ORIGIN,
      ...identity,
      "X-Auth-Email",
      "o@example.com",
    ]);
  });

  test("tracestate only to a trace that goes on (W3C Trace Context section 3.3.1.4)", () => {
    expect(appended(undefined, BEGUN, ["a=1"])).toEqual(["X-Kept", "1", ...ORIGIN]);
    expect(appended(undefined, { ...BEGUN, isContinued: true }, ["a=1", "b=2"]).slice(-4)).toEqual([
      "tracestate",
      "a=1",
      "tracestate",
      "b=2",
    ]);
  });
});

describe("a name that a field can't hold", () => {
  test.each([
    ["Zo\u00eb", "Zo\u00eb"],
    ["a\r\nX-Evil: 1", "aX-Evil: 1"],
    ["a\u0000b\u001fc\u007fd", "abcd"],
    ["\r\n", ""],
    ["\u00eb\n", "\u00eb"],
    [" ~", " ~"],
  ])("%j arrives as UTF-8 without control characters", (login, expected) => {
    const fields = appended({ ...OCTOCAT, login, email: login });
    for (const name of ["X-Auth-User", "X-Auth-Email"]) {
      const value = fields[fields.indexOf(name) + 1] ?? "missing";
      expect(Buffer.from(value, "latin1").toString()).toBe(expected);
    }
  });
});
