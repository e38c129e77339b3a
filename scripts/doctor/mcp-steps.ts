import { randomUUID } from "node:crypto";
import { isObject } from "../demo/json-answer.ts";
import type { Chart } from "./chart.ts";
import { initializeCall, responseOf, sessionCall, statelessCall, type Headers } from "./mcp-call.ts";
import { fail, pass, skip, type Finding, type Step } from "./step.ts";
import type { Answer } from "./wire.ts";
import { survive } from "./stream.ts";

const SESSION = "MCP 2025-11-25 Streamable HTTP";
const STATELESS = "MCP 2026-07-28 Streamable HTTP";
/** JSON-RPC 2.0 5.1: what a server says of the other generation's requests. */
const METHOD_NOT_FOUND = -32_601;

/** The protocol itself, in both of its generations. */
export const mcpSteps: readonly Step[] = [
  {
    id: "mcp.initialize",
    title: "a session begins",
    clause: `${SESSION}, Lifecycle`,
    needs: ["http.protection"],
    run: withToken(initialize),
  },
  {
    id: "mcp.tools",
    title: "the tools are listed in the session",
    clause: "MCP 2025-11-25 Tools",
    needs: ["mcp.initialize"],
    run: withToken(listTools),
  },
  {
    id: "mcp.unknown-session",
    title: "a session that nobody began is answered with 404",
    clause: `${SESSION}, Session Management 3`,
    needs: ["mcp.initialize"],
    run: withToken(useUnknownSession),
  },
  {
    id: "mcp.tool",
    title: "the tool that was named answers",
    clause: "MCP 2025-11-25 Tools",
    needs: ["mcp.initialize"],
    run: withToken(callTool),
  },
  {
    id: "mcp.stream",
    title: "an event stream stays open",
    clause: `${SESSION}, Listening for Messages from the Server`,
    needs: ["mcp.initialize"],
    run: withToken(holdStream),
  },
  {
    id: "mcp.delete",
    title: "the session can be ended",
    clause: `${SESSION}, Session Management 5`,
    needs: ["mcp.initialize"],
    run: withToken(endSession),
  },
  {
    id: "mcp.stateless",
    title: "the tools are listed without a session",
    clause: STATELESS,
    needs: ["http.protection"],
    run: withToken(listStateless),
  },
];

function withToken(run: (chart: Chart) => Promise<Finding>): Step["run"] {
  return async (chart) => {
    if (chart.isProtected === true && chart.token === undefined)
      return skip(chart.tokenRefusedBy ? `needs ${chart.tokenRefusedBy}` : "no token: --login or --token");
    return await run(chart);
  };
}

function headersOf({ token, isProtected, session }: Chart): Headers {
  return {
    ...(isProtected === true && token !== undefined && { authorization: `Bearer ${token}` }),
    ...(session !== undefined && { "mcp-session-id": session }),
  };
}

async function initialize(chart: Chart): Promise<Finding> {
  const answer = await chart.wire.call(chart.endpoint, initializeCall(headersOf(chart)));
  const result = responseOf(answer)?.["result"];
  if (answer.status === 200 && isObject(result)) {
    chart.session = headerOf(answer, "mcp-session-id");
    const message = { jsonrpc: "2.0", method: "notifications/initialized" };
    await chart.wire.call(chart.endpoint, sessionCall(message, headersOf(chart)));
    const server = isObject(result["serverInfo"]) ? String(result["serverInfo"]["name"]) : "a server";
    return pass(
      `${server}, ${String(result["protocolVersion"])}${chart.session === undefined ? ", no Mcp-Session-Id" : ""}`,
    );
  }
  const error = responseOf(answer)?.["error"];
  if (answer.status === 400 && isObject(error))
    return skip(`no session-based revision: ${String(error["message"])}`);
  chart.isMcp = false;
  return notMcp(chart, answer);
}

function headerOf({ headers }: Answer, name: string): string | undefined {
  const value = headers[name];
  return typeof value === "string" ? value : undefined;
}

/** Whatever is no JSON-RPC answer: the instance speaks for an upstream that fails, or the upstream is something else. */
function notMcp(chart: Chart, answer: Answer): Finding {
  const { hostname } = chart.request;
  const target = chart.config?.target_url ?? `target_url of proxy:${hostname}`;
  const finding =
    `POST ${chart.endpoint.pathname}: ${answer.status} ${headerOf(answer, "content-type") ?? ""}`.trimEnd();
  const why: Record<number, { cause: string; fix: string }> = {
    502: {
      cause: `the upstream does not answer: ${target}`,
      fix: `start the MCP server, or correct target_url in proxy:${hostname}`,
    },
    503: {
      cause: `the upstream takes no more requests: ${target}`,
      fix: "look at the load of the MCP server",
    },
    504: {
      cause: `the upstream takes too long: ${target}`,
      fix: "look at the MCP server: it hangs, or is a machine that does not exist",
    },
    404: {
      cause: `the MCP server has no ${chart.endpoint.pathname}`,
      fix: `call the URL it serves: resource_endpoint, or a path in target_url of proxy:${hostname}`,
    },
    403: {
      cause:
        "the upstream refuses the Host or Origin it is called with (its protection against DNS rebinding)",
      fix: `"preserve_host_header": false in proxy:${hostname}, or ${hostname} on the MCP server's own list of allowed hosts`,
    },
    421: {
      cause: "the upstream refuses the Host it is called with",
      fix: `"preserve_host_header": false in proxy:${hostname}, or ${hostname} on the MCP server's own list of allowed hosts`,
    },
    401: {
      cause: "the upstream asks for a token of its own, which a gateway never passes on",
      fix: "turn off the authorization of the MCP server, and let it trust X-Auth-*",
    },
  };
  const known = why[answer.status];
  if (known !== undefined) return fail(finding, known);
  if (answer.status >= 500)
    return fail(finding, {
      cause: `the MCP server fails: ${target}`,
      fix: "look into the log of the MCP server",
    });
  return fail(finding, {
    cause: `what answers is no MCP server: ${target} is another service, or a page in front of it`,
    fix: `correct target_url in proxy:${hostname}, or the path of the endpoint`,
  });
}

async function listTools(chart: Chart): Promise<Finding> {
  const message = { jsonrpc: "2.0", id: 2, method: "tools/list" };
  return toolsIn(chart, await chart.wire.call(chart.endpoint, sessionCall(message, headersOf(chart))));
}

function toolsIn(chart: Chart, answer: Answer): Finding {
  const result = responseOf(answer)?.["result"];
  const tools = isObject(result) ? result["tools"] : undefined;
  if (Array.isArray(tools)) return pass(`${tools.length} tools`);
  const error = responseOf(answer)?.["error"];
  if (!isObject(error)) return notMcp(chart, answer);
  return fail(`${answer.status}: ${String(error["message"])}`, {
    cause:
      "the session is not known where the request arrived (several upstreams behind one host?), or the server has no tools",
    fix: "one upstream per host, or upstreams that share their sessions",
  });
}

async function useUnknownSession(chart: Chart): Promise<Finding> {
  if (chart.session === undefined) return skip("the server has no sessions");
  const message = { jsonrpc: "2.0", id: 3, method: "tools/list" };
  const headers = { ...headersOf(chart), "mcp-session-id": randomUUID() };
  const { status } = await chart.wire.call(chart.endpoint, sessionCall(message, headers));
  if (status === 404) return pass("404: a client knows that it has to begin again");
  return fail(`${status} in place of 404`, {
    cause: "the MCP server answers a lost session otherwise, so clients do not begin again after its restart",
    fix: "update the MCP server: it must answer 404",
  });
}

async function callTool(chart: Chart): Promise<Finding> {
  const { tool } = chart.request;
  if (tool === undefined) return skip("no --tool: only tools/list is called");
  const message = { jsonrpc: "2.0", id: 4, method: "tools/call", params: { name: tool, arguments: {} } };
  const answer = await chart.wire.call(chart.endpoint, sessionCall(message, headersOf(chart)));
  const response = responseOf(answer);
  const result = response?.["result"];
  if (isObject(result) && result["isError"] !== true) return pass(`${tool} answers`);
  const error = isObject(response?.["error"]) ? String(response["error"]["message"]) : "an error";
  return fail(`${tool}: ${answer.status} ${error}`, {
    cause: "the tool is not there, needs arguments, or a scope that the token does not have (403)",
    fix: `name a tool that works without arguments; scope_rules in proxy:${chart.request.hostname}`,
  });
}

async function holdStream(chart: Chart): Promise<Finding> {
  const { streamSeconds, hostname } = chart.request;
  const headers = { ...headersOf(chart), accept: "text/event-stream", "mcp-protocol-version": "2025-11-25" };
  const held = await survive(chart, { headers, seconds: streamSeconds });
  switch (held.kind) {
    case "held":
      return pass(`${streamSeconds} s, ${held.bytes} octets came`);
    case "status":
      if (held.status === 405) return skip("405: the server offers no stream, which it may");
      return fail(`GET ${chart.endpoint.pathname}: ${held.status} in place of an event stream`, {
        cause: "the MCP server does not serve GET as the protocol wants it",
        fix: "update the MCP server: an event stream or 405",
      });
    case "silent":
      return fail(`no head of an answer within ${Math.max(5, streamSeconds)} s`, {
        cause:
          "the upstream, or a proxy between it and the instance, buffers: the stream's head is held back until there is more (many servers send it with their first ping, after 15 s: ask with --stream-seconds 20)",
        fix: "turn buffering off there (proxy_buffering off; X-Accel-Buffering: no), and flush the head at once",
      });
    case "ended":
      return fail(`the stream ended after ${held.seconds.toFixed(1)} s`, {
        cause: "somebody drops streams that are idle: the upstream, or a proxy in front or behind",
        fix: `let the MCP server send a comment each 15 s, or raise the idle timeout; scripts/gatehouse log hostname ${hostname} says who ended it`,
      });
  }
}

async function endSession(chart: Chart): Promise<Finding> {
  if (chart.session === undefined) return skip("the server has no sessions");
  const headers = { ...headersOf(chart), "mcp-protocol-version": "2025-11-25" };
  const { status } = await chart.wire.call(chart.endpoint, { method: "DELETE", headers });
  chart.session = undefined;
  if (status === 405) return skip("405: the server does not let clients end sessions, which it may");
  if (status < 300) return pass(String(status));
  return fail(`DELETE: ${status}`, {
    cause: "the MCP server answers the end of a session with an error",
    fix: "update the MCP server: 2xx, or 405",
  });
}

async function listStateless(chart: Chart): Promise<Finding> {
  if (!chart.isMcp) return skip("needs an MCP server: see mcp.initialize");
  const answer = await chart.wire.call(chart.endpoint, statelessCall("tools/list", headersOf(chart)));
  const error = responseOf(answer)?.["error"];
  const isOther = answer.status === 400 || (isObject(error) && error["code"] === METHOD_NOT_FOUND);
  if (isOther && isObject(error)) return skip(`no revision without sessions: ${String(error["message"])}`);
  return toolsIn(chart, answer);
}
