import { bySpelling } from "../by-spelling.ts";
import { foldedName } from "../identity-headers.ts";
import { readRequestTarget, type RequestTarget } from "../canonical-path.ts";
import type { MirroredFields } from "./message-method.ts";

/** What of a request decides about it, read once from the raw headers: the parsed ones hide a second value. */
export interface RequestHead extends MirroredFields {
  readonly method: string;
  /** For the record, whether it can be used or not. */
  readonly path: string;
  /** Undefined when the target can't be read. */
  readonly target: RequestTarget | undefined;
  readonly authorization: readonly string[];
  /** All values joined: a text with a comma is no origin. */
  readonly origin: string | undefined;
  readonly sessionIds: readonly string[];
  /** More than one is read one way here and another way there. */
  readonly contentTypes: readonly string[];
  readonly contentEncoding: string | undefined;
  readonly contentLength: number | undefined;
  /** `Access-Control-Request-Method` makes an OPTIONS a preflight. */
  readonly preflightMethod: string | undefined;
  readonly preflightFields: string | undefined;
}

/** The fields that are looked at. */
const FIELDS: ReadonlySet<string> = new Set([
  "authorization",
  "origin",
  "mcp-session-id",
  "mcp-method",
  "mcp-name",
  "mcp-protocol-version",
  "content-type",
  "content-encoding",
  "content-length",
  "access-control-request-method",
  "access-control-request-headers",
]);

/** The field that a name stands for; empty for those that are not looked at. */
const fieldOf = bySpelling((name) => {
  const folded = foldedName(name);
  return FIELDS.has(folded) ? folded : "";
});

/** Reads a request's head. Pure; never throws. */
export function readRequestHead(request: {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly rawHeaders: readonly string[];
}): RequestHead {
  const values = readFields(request.rawHeaders);
  const joined = (name: string): string | undefined => {
    const all = values.get(name);
    return all === undefined || all.length === 1 ? all?.[0] : all.join(", ");
  };
  const length = joined("content-length");
  const { method = "", url = "" } = request;
  const read = readRequestTarget(url);
  return {
    method,
    path: read.ok ? read.target.path : url.replace(/[?#].*$/s, ""),
    target: read.ok ? read.target : undefined,
    authorization: values.get("authorization") ?? [],
    origin: joined("origin"),
    sessionIds: values.get("mcp-session-id") ?? [],
    mcpMethod: joined("mcp-method"),
    mcpName: joined("mcp-name"),
    protocolVersion: joined("mcp-protocol-version"),
    contentTypes: values.get("content-type") ?? [],
    contentEncoding: joined("content-encoding"),
    contentLength: length === undefined ? undefined : Number(length),
    preflightMethod: joined("access-control-request-method"),
    preflightFields: joined("access-control-request-headers"),
  };
}

function readFields(rawHeaders: readonly string[]): ReadonlyMap<string, string[]> {
  const values = new Map<string, string[]>();
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const field = fieldOf(rawHeaders[i] ?? "");
    if (field === "") continue;
    const before = values.get(field);
    if (before === undefined) values.set(field, [rawHeaders[i + 1] ?? ""]);
    else before.push(rawHeaders[i + 1] ?? "");
  }
  return values;
}
