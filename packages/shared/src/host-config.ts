import { isAbsolute } from "node:path";
import * as z from "zod";
import { AddressList } from "./address.ts";
import type { ConfigProblem } from "./config-error.ts";
import { wrongTypeOf } from "./stored-text.ts";

const absent = "absent";

/** Where requests go, as parsed from `target_url`. `basePath` has no trailing slash; the request path is appended to it. */
export type Upstream =
  | { readonly kind: "tcp"; readonly origin: string; readonly basePath: string; readonly tls: boolean }
  | { readonly kind: "unix"; readonly socketPath: string };

/** Reads a `target_url`; undefined when it is not `http:`, `https:` or `unix:` without credentials, query and fragment. */
export function parseUpstream(text: string): Upstream | undefined {
  if (text.startsWith("unix:")) {
    const socketPath = text.slice("unix:".length);
    return isAbsolute(socketPath) && !socketPath.includes("\0") ? { kind: "unix", socketPath } : undefined;
  }
  const url = URL.parse(text);
  if (!url || (url.protocol !== "http:" && url.protocol !== "https:")) return undefined;
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") return undefined;
  return {
    kind: "tcp",
    origin: url.origin,
    basePath: url.pathname.replace(/\/+$/, ""),
    tls: url.protocol === "https:",
  };
}

/** Header names are tokens (RFC 9110 section 5.6.2); the value bars CR, LF and NUL (section 5.5). */
const headerName = z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, "must be a header name");
const headerValue = z
  .string()
  .regex(/^[\t\u0020-\u007e\u0080-\u00ff]*$/, "must be a header value without control characters");
const scope = z
  .string()
  .regex(/^[\u0021\u0023-\u005b\u005d-\u007e]+$/, "must be a scope token (RFC 6749 section 3.3)");
const listEntry = z.string().trim().min(1, "must not be empty");
const absolutePath = z.string().regex(/^\/[^?#\s]*$/, "must be an absolute path without query");
const excludedPath = absolutePath.refine(
  (path) => !path.slice(0, -2).includes("*") && (!path.includes("*") || path.endsWith("/*")),
  {
    message: "must be exact or a prefix ending in /*",
  },
);

const scopeRule = z.strictObject({
  /** HTTP methods the rule is about; absent: all. */
  methods: z.array(z.string().regex(/^[A-Z]+$/, "must be an upper-case HTTP method")).optional(),
  /** Exact path or prefix with a trailing slash-star; absent: every protected path. */
  path: excludedPath.optional(),
  mcp_method: z.string().min(1).optional(),
  /** Tool name; `*` matches any run of characters. */
  tool: z.string().min(1).optional(),
  scope,
});

const documentSchema = z.strictObject({
  target_url: z.string().refine((text) => parseUpstream(text) !== undefined, {
    message: "must be http://, https:// or unix:/path, without credentials, query or fragment",
  }),
  target_ca_pem: z
    .string()
    .includes("-----BEGIN CERTIFICATE-----", { message: "must be a PEM certificate" })
    .optional(),
  enabled: z.boolean().default(true),
  maintenance: z.boolean().default(false),
  auth_enabled: z.boolean().default(false),
  auth_required_users: z.array(listEntry).optional(),
  auth_allowed_scopes: z.array(scope).min(1).default(["admin", "user", "mcp"]),
  oauth_admin_users: z.array(listEntry).default([]),
  oauth_user_users: z.array(listEntry).default(["*"]),
  oauth_mcp_users: z.array(listEntry).default(["*"]),
  scope_assignment: z.enum(["config", "requested"]).default("config"),
  auth_excluded_paths: z.array(excludedPath).default([]),
  resource_endpoint: absolutePath.default("/mcp"),
  resource_scopes: z.array(scope).default(["mcp"]),
  scope_rules: z.array(scopeRule).default([]),
  identity_provider: z.enum(["github", "oidc"]).default("github"),
  oidc_issuer: z.url({ protocol: /^https$/ }).optional(),
  oidc_client_id: z.string().min(1).optional(),
  oidc_client_secret: z.string().min(1).optional(),
  github_client_id: z.string().min(1).optional(),
  github_client_secret: z.string().min(1).optional(),
  preserve_host_header: z.boolean().default(false),
  custom_headers: z.record(headerName, headerValue).default({}),
  allowed_origins: z
    .array(z.string().refine(isOrigin, { message: "must be an origin such as https://app.example" }))
    .optional(),
  allowed_addresses: z
    .array(z.string())
    .refine((entries) => AddressList.parse(entries).ok, { message: "must be addresses or CIDR blocks" })
    .optional(),
  certificate: z.enum(["acme", "stored", "file"]).default("acme"),
});

/** Every field of the document, in the order of the contract. */
export const HOST_CONFIG_FIELDS: readonly string[] = Object.keys(documentSchema.shape);

/** The value of `proxy:{hostname}` with every default filled in; field names are those of the document (contract section 4). */
export type HostConfig = z.infer<typeof documentSchema>;

export type HostConfigParse =
  | { readonly ok: true; readonly config: HostConfig }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/** A key that may be repeated: it looks like a field's name, mistyped perhaps, and not like a value that slipped into its place. */
const FIELD_NAME = /^[a-z_]{1,40}$/i;
/** Fields whose value is a secret: named in a problem, never quoted. */
export const SECRET_FIELDS: ReadonlySet<string> = new Set(["oidc_client_secret", "github_client_secret"]);

/** Reads a host config document; every problem is listed at once, unknown keys included. Never throws. */
export function parseHostConfig(text: string): HostConfigParse {
  const wrong = wrongTypeOf(text);
  if (wrong)
    return { ok: false, problems: [{ key: wrong.key, expected: "must be a string", got: wrong.type }] };
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    // V8 quotes the text around the fault in its message: a document holds secrets, so only the position is passed on.
    const position = /position \d+/.exec((error as Error).message)?.[0];
    return {
      ok: false,
      problems: [{ key: "(document)", expected: `must be JSON${position ? ` (fault at ${position})` : ""}` }],
    };
  }
  const parsed = documentSchema.safeParse(document);
  if (!parsed.success)
    return { ok: false, problems: parsed.error.issues.flatMap((issue) => toProblems(issue, document)) };
  const problems = crossFieldProblems(parsed.data);
  return problems.length > 0 ? { ok: false, problems } : { ok: true, config: parsed.data };
}

function isOrigin(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && url.origin === text;
}

/** Paths below which a protected host answers itself (contract section 5): an endpoint there would never be reached. */
const OWN_PATHS = [
  "/register",
  "/authorize",
  "/interaction",
  "/callback",
  "/token",
  "/revoke",
  "/introspect",
  "/jwks",
  "/.well-known",
];

/** Rules between fields. `auth_enabled` without what it needs must never come to mean "open". */
function crossFieldProblems(config: HostConfig): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  if (config.auth_enabled && config.auth_required_users === undefined) {
    problems.push({
      key: "auth_required_users",
      expected: 'is required when auth_enabled is true (["*"] for everyone, [] for nobody)',
      got: absent,
    });
  }
  const { resource_endpoint: endpoint } = config;
  if (config.auth_enabled && OWN_PATHS.some((path) => endpoint === path || endpoint.startsWith(`${path}/`))) {
    problems.push({
      key: "resource_endpoint",
      expected: "must not be a path of the authorization server",
    });
  }
  if (config.identity_provider === "oidc") {
    for (const key of ["oidc_issuer", "oidc_client_id", "oidc_client_secret"] as const) {
      if (config[key] === undefined)
        problems.push({ key, expected: "is required when identity_provider is oidc", got: absent });
    }
  }
  if ((config.github_client_id === undefined) !== (config.github_client_secret === undefined)) {
    problems.push({
      key: "github_client_id, github_client_secret",
      expected: "must be given together or not at all",
    });
  }
  return problems;
}

/**
 * No value of a document is ever quoted: a password stands in URLs, a key in the field of its certificate, an API key among the custom
 * headers, and what is wrong is wrong in unforeseen ways. The document itself is one GET away for those who may see it.
 */
function toProblems(issue: z.core.$ZodIssue, document: unknown): ConfigProblem[] {
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => ({
      key: [...issue.path, FIELD_NAME.test(key) ? key : "(a key)"].join("."),
      expected: "is not a field of a host config",
    }));
  }
  // The name of a header, where that is what is wrong, comes last in the path.
  const path = issue.code === "invalid_key" ? [...issue.path.slice(0, -1), "(a key)"] : issue.path;
  const key = path.length === 0 ? "(document)" : path.join(".");
  const value = issue.path.reduce<unknown>(
    (node, part) =>
      typeof node === "object" && node !== null ? (node as Record<PropertyKey, unknown>)[part] : undefined,
    document,
  );
  if (value === undefined) return [{ key, expected: `is required (${issue.message})`, got: absent }];
  return [{ key, expected: issue.message, got: kindOf(value) }];
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "string") return `a text of ${value.length} characters`;
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
