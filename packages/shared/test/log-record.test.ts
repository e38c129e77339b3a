import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { printable, renderRecord, type LogRecord } from "../src/log-record.ts";

const time = Date.UTC(2025, 7, 30, 8, 7, 2, 893);
const octocat = {
  user: "octocat",
  scopes: ["admin", "user", "mcp"],
  client_id: "client_VSMC7orqn6WQoElOov-Zvw",
};

// The examples of contract section 6, character for character.
describe("the printed form", () => {
  test("of stream progress", () => {
    const record: LogRecord = {
      ...octocat,
      time,
      level: "info",
      component: "proxy_handler",
      event: "stream_chunk",
      message: "SSE chunk 15: 45 bytes",
      ip: "34.162.102.82",
      hostname: "simple-oauth.example.com",
      conn: "c-01JD",
      req: "req-01JD",
    };
    expect(renderRecord(record))
      .toBe(`[2025-08-30 08:07:02.893Z] [proxy_handler] ● [INFO] SSE chunk 15: 45 bytes
  Client: 34.162.102.82 → Proxy: simple-oauth.example.com
  Auth: User=octocat | Scopes=["admin", "user", "mcp"] | Client=client_VSMC7orqn6WQoElOov-Zvw
  Ids: conn=c-01JD req=req-01JD`);
  });

  test("of a request", () => {
    const record: LogRecord = {
      time: Date.UTC(2025, 7, 30, 8, 7, 3, 101),
      level: "info",
      component: "proxy_handler",
      event: "request_ended",
      status: 200,
      method: "POST",
      path: "/mcp",
      mcp_method: "tools/call",
      mcp_tool: "get_weather",
      duration_ms: 196.7,
      ip: "34.162.102.82",
      hostname: "fast-echo.example.com",
      upstream: "http://127.0.0.1:3001",
      conn: "c-01JD",
      req: "req-01JD",
    };
    expect(renderRecord(record))
      .toBe(`[2025-08-30 08:07:03.101Z] [proxy_handler] ✓ 200 POST /mcp tools/call get_weather (197ms)
  Client: 34.162.102.82 → Proxy: fast-echo.example.com → http://127.0.0.1:3001
  Auth: (empty)
  Ids: conn=c-01JD req=req-01JD`);
  });

  test("of a refused request carries its reason on the first line", () => {
    const record: LogRecord = {
      time,
      level: "warn",
      component: "proxy_handler",
      event: "request_ended",
      status: 401,
      method: "POST",
      path: "/mcp",
      duration_ms: 1,
      reason: "invalid_token: expired (RFC 6750 3.1)",
    };
    expect(renderRecord(record)).toBe(
      "[2025-08-30 08:07:02.893Z] [proxy_handler] ⚠ 401 POST /mcp (1ms) invalid_token: expired (RFC 6750 3.1)\n  Auth: (empty)",
    );
  });

  test.each([
    [200, "✓"],
    [304, "→"],
    [404, "⚠"],
    [503, "✗"],
    [0, "✗"],
  ])("marks status %d with %s", (status, marker) => {
    const line = renderRecord({
      time,
      level: "info",
      component: "proxy_handler",
      event: "request_ended",
      status,
    });
    expect(line).toContain(`[proxy_handler] ${marker} ${status} `);
  });

  test.each([
    ["error", "✗ [ERROR]"],
    ["warn", "⚠ [WARN]"],
    ["info", "● [INFO]"],
    ["debug", "◆ [DEBUG]"],
  ] as const)("marks level %s with %s", (level, marker) => {
    const line = renderRecord({
      time,
      level,
      component: "dispatcher",
      event: "process_started",
      message: "x",
    });
    expect(line).toBe(`[2025-08-30 08:07:02.893Z] [dispatcher] ${marker} x\n  Auth: (empty)`);
  });

  test("can't be forged by what a peer sends: no field adds a line or drives a terminal", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const rendered = renderRecord({
          time,
          level: "info",
          component: "proxy_handler",
          event: "request_ended",
          status: 200,
          method: text,
          path: text,
          mcp_method: text,
          mcp_tool: text,
          reason: text,
          ip: text,
          hostname: text,
          upstream: text,
          user: text,
          scopes: [text],
          client_id: text,
          conn: text,
          req: text,
        });
        expect(rendered.split("\n")).toHaveLength(4);
        expect(rendered).not.toMatch(
          /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/,
        );
      }),
    );
    expect(printable("a\r\n[x] \u001b[2J")).toBe(String.raw`a\u000d\u000a[x] \u001b[2J`);
    expect(printable("bücher → ✓")).toBe("bücher → ✓");
  });
});
