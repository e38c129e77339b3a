/** What a record says about an MCP message: its method and, for `tools/call`, the tool. Never arguments. */
export interface McpMessage {
  readonly method: string;
  readonly tool?: string;
}

/** Longest method and tool name recorded (MCP allows tool names of 128 characters); longer ones are left out. */
const MAX_NAME_LENGTH = 128;
/** How far into a body the scan looks. Every SDK writes `method` and `params.name` in the first members; what follows is arguments. */
const MAX_SCAN_BYTES = 2048;
const PRINTABLE_TOKEN = /^[\u0021-\u007e]+$/;

/** Returns what the `Mcp-Method` and `Mcp-Name` fields say; undefined without a usable method. */
export function mcpMessageOfHeaders(
  method: string | undefined,
  name: string | undefined,
): McpMessage | undefined {
  return toMessage(method, name);
}

/**
 * Returns what the beginning of a JSON-RPC request says, for the record only: members behind the bound and repeated members are
 * not seen, so nothing may be authorised on it. Undefined when in doubt (a batch, escapes, not JSON).
 */
export function mcpMessageOfBody(start: Buffer): McpMessage | undefined {
  const scan = new MemberScan(start.toString("latin1", 0, Math.min(start.length, MAX_SCAN_BYTES)));
  let method: string | undefined;
  let name: string | undefined;
  if (!scan.enterObject()) return undefined;
  for (let key = scan.key(); key !== undefined; key = scan.key()) {
    if (key === "method") method = scan.string();
    else if (key === "params" && scan.enterObject()) name = scanName(scan);
    // Behind params nothing but the method is of use, and a tool's name only with its method.
    if (method !== undefined && (method !== "tools/call" || name !== undefined)) break;
    if (!scan.skipValue()) break;
  }
  return toMessage(method, name);
}

function scanName(scan: MemberScan): string | undefined {
  let name: string | undefined;
  for (let key = scan.key(); key !== undefined; key = scan.key()) {
    if (key === "name") name = scan.string();
    if (!scan.skipValue()) break;
  }
  return name;
}

function toMessage(method: string | undefined, name: string | undefined): McpMessage | undefined {
  if (!isName(method)) return undefined;
  return method === "tools/call" && isName(name) ? { method, tool: name } : { method };
}

function isName(text: string | undefined): text is string {
  return text !== undefined && text.length <= MAX_NAME_LENGTH && PRINTABLE_TOKEN.test(text);
}

/** A string without escapes; its end must be in sight. */
const STRING = /"([^"\\\u0000-\u001f]*)"/y;
const SPACE = /[ \t\r\n]*/y;
const ANY_STRING = /"(?:[^"\\]|\\.)*"/y;
const SCALAR = /[^\s,{}[\]":]+/y;

/** Walks the members of a JSON object that may be cut off anywhere; undefined or false where it can't go on. */
class MemberScan {
  readonly #text: string;
  #at = 0;
  /** A value was read since the last key, so that only a comma or the end may follow. */
  #isBehindValue = false;

  constructor(text: string) {
    this.#text = text;
  }

  enterObject(): boolean {
    if (!this.#take("{")) return false;
    this.#isBehindValue = false;
    return true;
  }

  /** Returns the next key and stands before its value; undefined at the end of the object, which is then left. */
  key(): string | undefined {
    if (this.#take("}")) {
      this.#isBehindValue = true;
      return undefined;
    }
    if (this.#isBehindValue && !this.#take(",")) return undefined;
    // A key with an escape is some other key: none that matters is ever written so.
    const key = this.#match(STRING) ?? (this.#step(ANY_STRING) ? "" : undefined);
    if (key === undefined || !this.#take(":")) return undefined;
    this.#isBehindValue = false;
    return key;
  }

  /** Returns the value when it is a string without escapes. */
  string(): string | undefined {
    const value = this.#match(STRING);
    if (value !== undefined) this.#isBehindValue = true;
    return value;
  }

  /** Steps over the value unless one was just read; false when its end is out of sight. */
  skipValue(): boolean {
    if (this.#isBehindValue) return true;
    let depth = 0;
    do {
      if (this.#take("{[")) depth++;
      else if (depth > 0 && this.#take("}]")) depth--;
      else if (depth > 0 && this.#take(",:")) continue;
      else if (!this.#step(ANY_STRING) && !this.#step(SCALAR)) return false;
    } while (depth > 0);
    this.#isBehindValue = true;
    return true;
  }

  #take(characters: string): boolean {
    this.#step(SPACE);
    const character = this.#text[this.#at];
    if (character === undefined || !characters.includes(character)) return false;
    this.#at++;
    return true;
  }

  #match(pattern: RegExp): string | undefined {
    this.#step(SPACE);
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found === null) return undefined;
    this.#at = pattern.lastIndex;
    return found[1];
  }

  #step(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at;
    if (!pattern.test(this.#text)) return false;
    this.#at = pattern.lastIndex;
    return true;
  }
}
