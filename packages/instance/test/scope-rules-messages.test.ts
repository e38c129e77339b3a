import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { readMessages } from "../src/protected-resource/message-method.ts";
import { RawPeer } from "./forward-harness.ts";
import { parseChallenge, ProtectedHost } from "./support/protected-host.ts";

const RULES = {
  oauth_admin_users: ["octocat"],
  scope_rules: [{ mcp_method: "tools/call", tool: "delete_*", scope: "admin" }],
};
const KIB = 1024;

let host: ProtectedHost;
let token: string;
let admin: string;
beforeAll(async () => {
  host = await ProtectedHost.start(RULES);
  token = await host.mint({ scope: "user mcp" });
  admin = await host.mint({ scope: "admin user mcp" });
});
afterAll(async () => {
  await host.stop();
});
beforeEach(() => {
  host.seen.length = 0;
});

function call(name: unknown, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, arguments: {} }, ...more };
}

async function status(message: unknown, headers: Record<string, string> = {}): Promise<number> {
  return (await host.rpc(message, { token, headers })).status;
}

describe("a tool rule, for a token that lacks its scope", () => {
  test("refuses the tool with one complete challenge, and lets others through unchanged", async () => {
    const refused = await host.rpc(call("delete_all"), { token });
    expect(refused.status).toBe(403);
    expect(parseChallenge(refused.headers["www-authenticate"]).parameters).toMatchObject({
      error: "insufficient_scope",
      scope: "admin mcp",
    });
    expect(host.seen).toEqual([]);
    const text = `  ${JSON.stringify(call("get_weather"))}\n`;
    expect(await status(text)).toBe(200);
    expect(host.seen[0]?.body).toBe(text);
    expect(host.seen[0]?.headers["content-length"]).toBe(String(text.length));
    expect(host.seen[0]?.headers["content-type"]).toBe("application/json");
  });

  test("is no hindrance for a token that has it, nor for other methods, answers and requests without a body", async () => {
    expect((await host.rpc(call("delete_all"), { token: admin })).status).toBe(200);
    expect(await status({ jsonrpc: "2.0", id: 1, method: "tools/list" })).toBe(200);
    expect(await status({ jsonrpc: "2.0", id: 1, result: {} })).toBe(200);
    expect((await host.ask("/mcp", { token })).status).toBe(200);
    expect((await host.ask("/mcp", { token, method: "DELETE" })).status).toBe(200);
  });

  test("holds on HTTP/2 and for chunked bodies, which are passed on whole", async () => {
    const headers = { ":path": "/mcp", ":method": "POST", authorization: `Bearer ${token}` };
    expect((await host.h2.ask(headers, JSON.stringify(call("delete_all")))).status).toBe(403);
    expect((await host.h2.ask(headers, JSON.stringify(call("get_weather")))).status).toBe(200);
    expect(JSON.parse(host.seen[0]?.body ?? "")).toEqual(call("get_weather"));
    const chunk = JSON.stringify(call("get_weather"));
    const peer = new RawPeer(
      host.h1Port,
      `POST /mcp HTTP/1.1\r\nHost: app.example\r\nAuthorization: Bearer ${token}\r\nTransfer-Encoding: chunked\r\n\r\n`,
    );
    peer.send(`5\r\n${chunk.slice(0, 5)}\r\n`);
    peer.send(`${(chunk.length - 5).toString(16)}\r\n${chunk.slice(5)}\r\n0\r\n\r\n`);
    await peer.sees("upstream");
    peer.socket.destroy();
    expect(host.seen[1]?.body).toBe(chunk);
  });

  test("a call that names no tool may be any", async () => {
    expect(await status(call(undefined))).toBe(403);
    expect(await status(call(7))).toBe(403);
    expect(await status({ ...call("x"), params: "delete_all" })).toBe(403);
  });

  test("a batch needs the union (contract section 5)", async () => {
    expect(await status([call("get_weather"), call("delete_all")])).toBe(403);
    expect(await status([call("get_weather"), call("get_weather")])).toBe(200);
    expect(await status([])).toBe(200);
  });

  test("holds where an upstream might take the path for the endpoint, and for JSON elsewhere", async () => {
    for (const path of ["/MCP", "/mcp;a=b", "/mcp/", "/elsewhere"]) {
      expect((await host.rpc(call("delete_all"), { token, path })).status).toBe(403);
    }
    const headers = { "content-type": "text/plain" };
    expect((await host.rpc(call("delete_all"), { token, headers })).status).toBe(403);
    expect((await host.rpc(call("delete_all"), { token, headers, path: "/MCP" })).status).toBe(403);
    for (const type of ["application/vnd.api+json", "application/jsonx", "application/json, text/plain"]) {
      const typed = { "content-type": type };
      expect((await host.rpc(call("delete_all"), { token, headers: typed, path: "/elsewhere" })).status).toBe(
        403,
      );
    }
    for (const type of ["application/x-ndjson", "multipart/form-data; boundary=json1", "application/zip"]) {
      const upload = { method: "POST", token, headers: { "content-type": type }, body: "x" };
      expect((await host.ask("/upload", upload)).status).toBe(200);
    }
  });
});

describe("bodies that two parsers could read in two ways: 400, never forwarded", () => {
  test.each([
    ["the method twice", `{"method":"tools/list","method":"tools/call","params":{"name":"delete_all"}}`],
    [
      "the method twice, once escaped",
      `{"method":"tools/list","m\\u0065thod":"tools/call","params":{"name":"x"}}`,
    ],
    ["params twice", `{"method":"tools/call","params":{"name":"a"},"params":{"name":"delete_all"}}`],
    ["the name twice", `{"method":"tools/call","params":{"name":"a","name":"delete_all"}}`],
    ["a member twice anywhere", `{"method":"tools/call","params":{"name":"a","arguments":{"x":1,"x":2}}}`],
    [
      "the method in capitals besides",
      `{"method":"tools/list","Method":"tools/call","params":{"name":"delete_all"}}`,
    ],
    ["the method in capitals only", `{"METHOD":"tools/call","params":{"name":"delete_all"}}`],
    [
      "a long s in params",
      `{"method":"tools/call","param\u017f":{"name":"delete_all"},"params":{"name":"a"}}`,
    ],
    [
      "the name in capitals, in a batch",
      `[{"method":"tools/call","params":{"name":"a","NAME":"delete_all"}}]`,
    ],
    ["no JSON", `{"method":"tools/call",}`],
    ["two documents", `{"method":"tools/list"}{"method":"tools/call","params":{"name":"delete_all"}}`],
    ["a method that is no string", `{"method":["tools/call"],"params":{"name":"delete_all"}}`],
    ["a message that is no object", `["tools/call"]`],
    ["a byte order mark", `\ufeff{"method":"tools/call","params":{"name":"a"}}`],
  ])("%s", async (_name, text) => {
    const answer = await host.rpc(text, { token });
    expect([answer.status, host.seen.length]).toEqual([400, 0]);
    expect(answer.json).toMatchObject({ jsonrpc: "2.0", error: { code: -32_600 } });
  });

  test("octets that are not UTF-8, and a compressed body", async () => {
    const headers = { "content-type": "application/json" };
    const broken = Buffer.concat([
      Buffer.from('{"method":"tools/call","params":{"name":"a'),
      Buffer.from([0xff]),
      Buffer.from('"}}'),
    ]);
    expect((await host.ask("/mcp", { method: "POST", token, headers, body: broken })).status).toBe(400);
    const body = gzipSync(JSON.stringify(call("delete_all")));
    const zipped = { ...headers, "content-encoding": "gzip" };
    expect((await host.ask("/mcp", { method: "POST", token, headers: zipped, body })).status).toBe(415);
    expect(host.seen).toEqual([]);
  });

  test.each(["utf-7", "UTF-16LE", '"utf-7"', "utf-8; charset=utf-7", "iso-8859-1"])(
    "a body that is to be decoded as %s",
    async (charset) => {
      const headers = { "content-type": `application/json; charset=${charset}` };
      expect((await host.rpc(call("+AGQ-elete_all"), { token, headers })).status).toBe(415);
      expect(host.seen).toEqual([]);
    },
  );

  test("as UTF-8 it may be announced", async () => {
    for (const charset of ["utf-8", '"UTF-8"', "utf8", "us-ascii"]) {
      const headers = { "content-type": `application/json; charset=${charset}` };
      expect((await host.rpc(call("get_weather"), { token, headers })).status).toBe(200);
    }
  });

  test("a body of two types, also outside the endpoint", async () => {
    const body = JSON.stringify(call("get_weather"));
    for (const path of ["/mcp", "/elsewhere"]) {
      const peer = new RawPeer(
        host.h1Port,
        `POST ${path} HTTP/1.1\r\nHost: app.example\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      await peer.sees("400 Bad Request");
      peer.socket.destroy();
    }
    expect(host.seen).toEqual([]);
  });

  test("what stands in arguments decides nothing", () => {
    const text = `{"method":"tools/call","params":{"arguments":{"method":"x","Name":1,"name":{"params":{}}},"name":"a\\"b"}}`;
    expect(readMessages(Buffer.from(text))).toEqual({
      ok: true,
      messages: [{ method: "tools/call", name: 'a"b' }],
    });
  });
});

describe("the bound of 256 KiB", () => {
  const padded = (bytes: number): string => {
    const text = JSON.stringify(call("get_weather"));
    return `${text}${" ".repeat(bytes - text.length)}`;
  };

  test("a body up to it is looked at, one over it is 413 and never forwarded", async () => {
    expect(await status(padded(256 * KIB))).toBe(200);
    expect(host.seen[0]?.body.length).toBe(256 * KIB);
    expect(await status(padded(256 * KIB + 1))).toBe(413);
    const body = padded(300 * KIB);
    const peer = new RawPeer(
      host.h1Port,
      `POST /mcp HTTP/1.1\r\nHost: app.example\r\nAuthorization: Bearer ${token}\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
    );
    await peer.sees("HTTP/1.1 413");
    peer.socket.destroy();
    expect(host.seen.length).toBe(1);
  });

  test("is not felt where no rule can apply", async () => {
    expect((await host.rpc(padded(300 * KIB), { token: admin })).status).toBe(200);
    const upload = { token, path: "/upload", headers: { "content-type": "application/octet-stream" } };
    expect((await host.rpc(padded(300 * KIB), upload)).status).toBe(200);
  });
});

describe("Mcp-Method and Mcp-Name (MCP 2026-07-28, Server Validation)", () => {
  const modern = { "mcp-protocol-version": "2026-07-28" };

  test.each([
    ["both right", { ...modern, "mcp-method": "tools/call", "mcp-name": "get_weather" }, 200],
    [
      "the name in Base64",
      { ...modern, "mcp-method": "tools/call", "mcp-name": "=?base64?Z2V0X3dlYXRoZXI=?=" },
      200,
    ],
    ["another name", { ...modern, "mcp-method": "tools/call", "mcp-name": "other" }, 400],
    ["another method", { ...modern, "mcp-method": "tools/list" }, 400],
    ["no method where it is demanded", modern, 400],
    ["no name where it is demanded", { ...modern, "mcp-method": "tools/call" }, 400],
    ["neither, in an older revision", { "mcp-protocol-version": "2025-11-25" }, 200],
    ["a wrong name in an older revision", { "mcp-protocol-version": "2025-06-18", "mcp-name": "other" }, 400],
    ["neither, without a revision", {}, 200],
  ])("%s: %p is answered %i", async (_name, headers, expected) => {
    const answer = await host.rpc(call("get_weather"), { token, headers });
    expect(answer.status).toBe(expected);
    if (expected === 400) expect(answer.json).toMatchObject({ error: { code: -32_020 } });
    expect(host.seen.length).toBe(expected === 200 ? 1 : 0);
  });

  test("fields alone may refuse, before the body has come", async () => {
    const peer = new RawPeer(
      host.h1Port,
      `POST /mcp HTTP/1.1\r\nHost: app.example\r\nAuthorization: Bearer ${token}\r\nContent-Length: 1000\r\n` +
        "Mcp-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: delete_all\r\n\r\n",
    );
    await peer.sees("insufficient_scope");
    peer.socket.destroy();
  });

  test("fields that name a harmless tool do not get a harmful body through", async () => {
    const headers = { ...modern, "mcp-method": "tools/call", "mcp-name": "get_weather" };
    expect(await status(call("delete_all"), headers)).toBe(400);
    expect(host.seen).toEqual([]);
  });

  test("a batch can't be mirrored", async () => {
    expect(
      await status([call("a"), call("b")], { ...modern, "mcp-method": "tools/call", "mcp-name": "a" }),
    ).toBe(400);
  });

  test("unknown Mcp-Param fields pass (MCP, Custom Headers)", async () => {
    await host.rpc(call("get_weather"), { token, headers: { "mcp-param-region": "us-west1" } });
    expect(host.seen[0]?.headers["mcp-param-region"]).toBe("us-west1");
  });
});

test("a peer that leaves in the middle of a body that is looked at leaves one record and no request behind", async () => {
  host.records.length = 0;
  const peer = new RawPeer(
    host.h1Port,
    `POST /mcp HTTP/1.1\r\nHost: app.example\r\nAuthorization: Bearer ${token}\r\nContent-Length: 1000\r\n\r\n{"me`,
  );
  await new Promise((resolve) => peer.socket.once("connect", resolve));
  setTimeout(() => peer.socket.destroy(), 50);
  expect(await host.lastRecord(1)).toMatchObject({
    status: 499,
    reason: "aborted_by_peer",
    ended_by: "peer",
  });
  expect(host.seen).toEqual([]);
});
