/** What authorisation looks at in an MCP message. */
export interface McpMessage {
  readonly method: string;
  /** `params.name`, or `params.uri` of a `resources/read`; undefined when there is none that is a string. */
  readonly name: string | undefined;
}

export type MessagesRead =
  | { readonly ok: true; readonly messages: readonly McpMessage[] }
  | { readonly ok: false; readonly problem: string };

/** The fields that mirror a message (MCP 2026-07-28, Streamable HTTP, Request Metadata). */
export interface MirroredFields {
  readonly protocolVersion: string | undefined;
  readonly mcpMethod: string | undefined;
  readonly mcpName: string | undefined;
}

/** The first revision that demands the mirrored fields; revisions are dates, so they compare as text. */
const FIRST_WITH_FIELDS = "2026-07-28";
const REVISION = /^\d{4}-\d{2}-\d{2}$/;
/** Methods whose name is mirrored, too. */
const NAMED_METHODS: ReadonlySet<string> = new Set(["tools/call", "prompts/get", "resources/read"]);
const BASE64_VALUE = /^=\?base64\?([A-Za-z0-9+/]*={0,2})\?=$/;

/** Members that decide, by the object they stand in. */
const MESSAGE_MEMBERS: ReadonlySet<string> = new Set(["method", "params"]);
const PARAMS_MEMBERS: ReadonlySet<string> = new Set(["name", "uri"]);

/**
 * Reads what a JSON-RPC body asks for, one message or a batch; messages without a method (answers) ask for nothing. Refuses what two
 * parsers could read in two ways, because the upstream's parser is not this one: repeated members, deciding members in another letter
 * case (Go matches those), octets that are not UTF-8. Never throws.
 */
export function readMessages(body: Buffer): MessagesRead {
  let text: string;
  let document: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
    document = JSON.parse(text);
  } catch {
    return { ok: false, problem: "the body is not JSON in UTF-8" };
  }
  const problem = ambiguity(text);
  if (problem !== undefined) return { ok: false, problem };
  const messages: McpMessage[] = [];
  for (const item of Array.isArray(document) ? (document as unknown[]) : [document]) {
    if (!isObject(item)) return { ok: false, problem: "a message is not an object" };
    const { method, params } = item;
    if (method === undefined) continue;
    if (typeof method !== "string") return { ok: false, problem: "method is not a string" };
    messages.push({ method, name: nameOf(method, params) });
  }
  return { ok: true, messages };
}

/**
 * Returns what is wrong between mirrored fields and body; undefined when nothing is. Revisions that demand the fields must have them;
 * where a field is there, older revisions included, it must say what the body says.
 */
export function mirrorProblem(fields: MirroredFields, messages: readonly McpMessage[]): string | undefined {
  const [message] = messages;
  if (message === undefined) {
    return fields.mcpMethod === undefined ? undefined : "Mcp-Method without a method in the body";
  }
  if (messages.length > 1) {
    const isMirrored = isDemanded(fields) || fields.mcpMethod !== undefined;
    return isMirrored ? "a batch can't be mirrored in Mcp-Method" : undefined;
  }
  return (isDemanded(fields) ? missingField(fields, message) : undefined) ?? unequalField(fields, message);
}

function isDemanded({ protocolVersion = "" }: MirroredFields): boolean {
  return REVISION.test(protocolVersion) && protocolVersion >= FIRST_WITH_FIELDS;
}

function missingField({ mcpMethod, mcpName }: MirroredFields, { method }: McpMessage): string | undefined {
  if (mcpMethod === undefined) return "Mcp-Method is missing";
  return mcpName === undefined && NAMED_METHODS.has(method) ? "Mcp-Name is missing" : undefined;
}

function unequalField({ mcpMethod, mcpName }: MirroredFields, message: McpMessage): string | undefined {
  if (mcpMethod !== undefined && mcpMethod !== message.method) return "Mcp-Method does not match the body";
  const isOther = mcpName !== undefined && decodeField(mcpName) !== message.name;
  return isOther ? "Mcp-Name does not match the body" : undefined;
}

/** Values that are no visible ASCII travel as Base64 of their UTF-8 (MCP 2026-07-28, Value Encoding). */
function decodeField(value: string): string {
  const [, encoded] = BASE64_VALUE.exec(value) ?? [];
  return encoded === undefined ? value : Buffer.from(encoded, "base64").toString();
}

function nameOf(method: string, params: unknown): string | undefined {
  if (!isObject(params)) return undefined;
  const name = params[method === "resources/read" ? "uri" : "name"];
  return typeof name === "string" ? name : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** An open object or list of a document that is being walked. */
interface Level {
  readonly kind: "list" | "message" | "params" | "other";
  readonly keys: Set<string>;
  key: string;
  isKeyNext: boolean;
}

/** A string, or one character of structure; everything between them is of no interest. */
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],]/g;

/** Walks a text that is known to be JSON; returns what could be read in two ways. */
function ambiguity(text: string): string | undefined {
  const levels: Level[] = [];
  for (const [token] of text.matchAll(TOKEN)) {
    const level = levels.at(-1);
    if (token === "{" || token === "[") levels.push(openLevel(token, levels));
    else if (token === "}" || token === "]") levels.pop();
    else if (level === undefined || level.kind === "list") continue;
    else if (token === ",") level.isKeyNext = true;
    else if (level.isKeyNext) {
      level.isKeyNext = false;
      level.key = JSON.parse(token) as string;
      if (level.keys.has(level.key)) return "a member stands there twice";
      level.keys.add(level.key);
      if (isDisguised(level)) return "a member in another letter case";
    }
  }
  return undefined;
}

function openLevel(token: string, levels: readonly Level[]): Level {
  const parent = levels.at(-1);
  const isTop = parent === undefined || (levels.length === 1 && parent.kind === "list");
  const kind =
    token === "["
      ? "list"
      : isTop
        ? "message"
        : parent.kind === "message" && parent.key === "params"
          ? "params"
          : "other";
  return { kind, keys: new Set(), key: "", isKeyNext: true };
}

function isDisguised({ kind, key }: Level): boolean {
  const members = kind === "message" ? MESSAGE_MEMBERS : kind === "params" ? PARAMS_MEMBERS : undefined;
  // Both ways: U+017F is a small letter to whom S is the capital, U+212A a capital to whom k is the small one.
  return members !== undefined && !members.has(key) && members.has(key.toUpperCase().toLowerCase());
}
