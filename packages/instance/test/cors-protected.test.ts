import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { ORIGIN, ProtectedHost } from "./support/protected-host.ts";

const INSPECTOR = "http://localhost:6274";

let host: ProtectedHost;
let token: string;
beforeAll(async () => {
  host = await ProtectedHost.start();
  token = await host.mint();
});
afterAll(async () => {
  await host.stop();
});

async function preflight(
  origin: string,
  headers: Record<string, string> = {},
): ReturnType<ProtectedHost["ask"]> {
  return await host.ask("/mcp", {
    method: "OPTIONS",
    headers: { origin, "access-control-request-method": "POST", ...headers },
  });
}

describe("MCP Streamable HTTP, Security: Origin is validated on every connection", () => {
  test.each([ORIGIN, INSPECTOR, "http://127.0.0.1:8080", "https://localhost", "http://[::1]:3000"])(
    "without a list, %s may call",
    async (origin) => {
      const answer = await host.ask("/mcp", { token, headers: { origin } });
      expect(answer.status).toBe(200);
      expect(answer.headers["access-control-allow-origin"]).toBe(origin);
    },
  );

  test.each([
    "https://evil.example",
    "null",
    "http://app.example",
    `${ORIGIN}.evil.example`,
    `${ORIGIN}:8443`,
    "http://localhost.evil.example",
    "http://127.0.0.1.evil.example",
    "file://",
    "http://localhost/path",
    `${ORIGIN}, ${ORIGIN}`,
  ])("%s is answered 403, token or not, and may not read that", async (origin) => {
    const before = host.seen.length;
    for (const options of [{ token }, {}]) {
      const answer = await host.ask("/mcp", { ...options, headers: { origin } });
      expect(answer.status).toBe(403);
      expect(answer.headers["access-control-allow-origin"]).toBeUndefined();
      expect(answer.headers["www-authenticate"]).toBeUndefined();
    }
    expect(host.seen.length).toBe(before);
    host.records.length = 0;
    await host.ask("/mcp", { token, headers: { origin } });
    expect((await host.lastRecord(1)).reason).toBe("origin_not_allowed (MCP Streamable HTTP, Security)");
  });

  test("a list takes the place of loopback; the host itself always may", async () => {
    host.configure({ allowed_origins: ["https://app.other.example"] });
    const statuses = await Promise.all(
      ["https://app.other.example", ORIGIN, INSPECTOR].map(
        async (origin) => (await host.ask("/mcp", { token, headers: { origin } })).status,
      ),
    );
    expect(statuses).toEqual([200, 200, 403]);
    host.configure();
  });

  test("holds on excluded paths", async () => {
    host.configure({ auth_excluded_paths: ["/health"] });
    expect((await host.ask("/health", { headers: { origin: "https://evil.example" } })).status).toBe(403);
    expect((await host.ask("/health", { headers: { origin: INSPECTOR } })).status).toBe(200);
    host.configure();
  });

  test("requests without Origin come from no page", async () => {
    const answer = await host.ask("/mcp", { token });
    expect([answer.status, answer.headers["access-control-allow-origin"]]).toEqual([200, undefined]);
    expect(answer.headers["vary"]).toBe("Origin");
  });
});

describe("CORS", () => {
  test("a preflight is never asked for a token, and allows what MCP clients send", async () => {
    const before = host.seen.length;
    const answer = await preflight(INSPECTOR, {
      "access-control-request-headers": "Mcp-Param-Region, x-custom",
    });
    expect([answer.status, answer.text]).toEqual([204, ""]);
    expect(answer.headers["access-control-allow-origin"]).toBe(INSPECTOR);
    const allowed = String(answer.headers["access-control-allow-headers"]).split(", ");
    expect(allowed).toEqual(
      expect.arrayContaining([
        "authorization",
        "content-type",
        "accept",
        "mcp-protocol-version",
        "mcp-session-id",
        "mcp-method",
        "mcp-name",
        "last-event-id",
        "mcp-param-region",
        "x-custom",
      ]),
    );
    expect(String(answer.headers["access-control-allow-methods"]).split(", ")).toEqual(
      expect.arrayContaining(["GET", "POST", "DELETE"]),
    );
    expect(host.seen.length).toBe(before);
  });

  test("what is no field name is not said back", async () => {
    const answer = await preflight(INSPECTOR, { "access-control-request-headers": "x-good, b@d, , *" });
    const allowed = String(answer.headers["access-control-allow-headers"]).split(", ");
    expect(allowed).toContain("x-good");
    expect(allowed).not.toContain("b@d");
  });

  test("a preflight from elsewhere is 403", async () => {
    expect((await preflight("https://evil.example")).status).toBe(403);
  });

  test("OPTIONS that is no preflight needs a token like any request", async () => {
    expect((await host.ask("/mcp", { method: "OPTIONS" })).status).toBe(401);
    expect((await host.ask("/mcp", { method: "OPTIONS", token })).text).toBe("upstream");
  });

  test("pages read challenge and session id", async () => {
    const answer = await host.ask("/mcp", { headers: { origin: INSPECTOR } });
    expect(answer.status).toBe(401);
    expect(answer.headers["access-control-allow-origin"]).toBe(INSPECTOR);
    const exposed = String(answer.headers["access-control-expose-headers"]).split(", ");
    expect(exposed).toEqual(expect.arrayContaining(["WWW-Authenticate", "Mcp-Session-Id"]));
  });

  test("ours takes the place of the upstream's, whatever it answers", async () => {
    host.answers.set("/mcp", (_request, response) => {
      response.writeHead(200, {
        "access-control-allow-origin": "*",
        "Access-Control-Allow-Credentials": "true",
        "access-control-expose-headers": "X-Theirs",
        vary: "Accept-Encoding",
        "set-cookie": ["a=1", "b=2"],
      });
      response.end("x");
    });
    for (const answer of [
      await host.ask("/mcp", { token, headers: { origin: INSPECTOR } }),
      await host.h2.ask({ ":path": "/mcp", authorization: `Bearer ${token}`, origin: INSPECTOR }),
    ]) {
      expect(answer.headers["access-control-allow-origin"]).toBe(INSPECTOR);
      expect(answer.headers["access-control-allow-credentials"]).toBeUndefined();
      expect(answer.headers["access-control-expose-headers"]).toContain("Mcp-Session-Id");
      expect(answer.headers["access-control-expose-headers"]).not.toContain("X-Theirs");
      expect(String(answer.headers["vary"])).toBe("Accept-Encoding, Origin");
      expect(answer.headers["set-cookie"]).toEqual(["a=1", "b=2"]);
    }
    host.answers.clear();
  });

  test("and stands on the gateway's own errors, too", async () => {
    host.answers.set("/mcp", (request) => void request.socket.destroy());
    const answer = await host.ask("/mcp", {
      method: "POST",
      body: "x",
      token,
      headers: { origin: INSPECTOR },
    });
    expect([answer.status, answer.headers["access-control-allow-origin"]]).toEqual([502, INSPECTOR]);
    host.answers.clear();
  });

  test("on an open host all of it is the upstream's", async () => {
    host.configure({ auth_enabled: false });
    host.answers.set("/mcp", (_request, response) => {
      response.writeHead(200, { "access-control-allow-origin": "https://theirs.example" });
      response.end();
    });
    const answer = await host.ask("/mcp", { headers: { origin: "https://evil.example" } });
    expect(answer.headers["access-control-allow-origin"]).toBe("https://theirs.example");
    expect(answer.headers["vary"]).toBeUndefined();
    host.answers.clear();
    host.configure();
  });
});
