import { initializeMessage } from "../demo/initialize.ts";
import { isObject, type JsonObject } from "../demo/json-answer.ts";
import { parseObject } from "./json.ts";
import type { Answer, Call } from "./wire.ts";

/** How the doctor calls itself, to MCP servers and at `/register`. */
export const DOCTOR = "gatehouse doctor";

const SESSION_REVISION = "2025-11-25";
const STATELESS_REVISION = "2026-07-28";

/** Names of the envelope that each stateless request carries. */
const META = "io.modelcontextprotocol";

export type Headers = Readonly<Record<string, string>>;

const SENT: Headers = {
  "content-type": "application/json",
  accept: "application/json, text/event-stream",
};

/** Returns the first message of a session-based client. */
export function initializeCall(headers: Headers = {}): Call {
  return posted(initializeMessage(DOCTOR), headers);
}

/** Returns a message of a session. */
export function sessionCall(message: object, headers: Headers): Call {
  return posted(JSON.stringify(message), { "mcp-protocol-version": SESSION_REVISION, ...headers });
}

/** Returns a request of the revision without sessions, with the fields that mirror its message. */
export function statelessCall(method: string, headers: Headers): Call {
  const _meta = {
    [`${META}/protocolVersion`]: STATELESS_REVISION,
    [`${META}/clientCapabilities`]: {},
    [`${META}/clientInfo`]: { name: DOCTOR, version: "1" },
  };
  const message = { jsonrpc: "2.0", id: 1, method, params: { _meta } };
  return posted(JSON.stringify(message), {
    "mcp-protocol-version": STATELESS_REVISION,
    "mcp-method": method,
    ...headers,
  });
}

function posted(body: string, headers: Headers): Call {
  return { method: "POST", headers: { ...SENT, ...headers }, body, isEnough: hasWholeEvent };
}

/** An event stream may stay open behind the answer it carries. */
function hasWholeEvent(text: string): boolean {
  return responseIn(text) !== undefined;
}

/** Returns the JSON-RPC response in an answer, from its body or from its events; undefined when there is none. */
export function responseOf({ text }: Answer): JsonObject | undefined {
  return responseIn(text);
}

function responseIn(text: string): JsonObject | undefined {
  const events = text
    .split(/\r?\n\r?\n/)
    .slice(0, -1)
    .map((event) => dataOf(event));
  return [text, ...events].map((one) => parseObject(one)).find((one) => isResponse(one));
}

function dataOf(event: string): string {
  return event
    .split(/\r?\n/)
    .filter((line) => line.startsWith("data:"))
    .map((line) => line.slice("data:".length).trimStart())
    .join("\n");
}

function isResponse(value: JsonObject | undefined): boolean {
  return value?.["jsonrpc"] === "2.0" && (isObject(value["result"]) || isObject(value["error"]));
}
