/** What one real client does, as far as it differs from the others: seen in their sources and on the wire. */
export interface ClientProfile {
  /** As `--as` takes it, and as its steps begin. */
  readonly name: string;
  /** As people call it. */
  readonly title: string;
  /** Asks the well-known documents in this order when the challenge names none, or besides. */
  readonly resourceForms: readonly ("challenge" | "path" | "root")[];
  readonly serverForms: readonly ServerForm[];
  /** All sent in one body; one that is refused loses the registration. */
  readonly redirectUris: readonly string[];
  /** What it comes back to; where it is not one of those registered, RFC 8252 7.3 lets its port vary. */
  readonly redirectUri?: string;
  readonly authMethod: "none" | "client_secret_post" | "client_secret_basic";
  /** Further members of the body. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Discards metadata whose `resource` is not the URL that a person typed. */
  readonly comparesResource: boolean;
  /** Origin of its pages, where it runs in a browser. */
  readonly origin?: string;
}

type ServerForm = "oauth" | "openid";

const SDK = {
  resourceForms: ["challenge", "path", "root"],
  serverForms: ["oauth", "openid"],
  authMethod: "none",
  comparesResource: true,
} as const;

export const CLIENTS: readonly ClientProfile[] = [
  {
    ...SDK,
    name: "claude",
    title: "Claude (web, desktop, mobile)",
    redirectUris: ["https://claude.ai/api/mcp/auth_callback"],
    authMethod: "client_secret_post",
    // Scopes that no host here grants: they must not cost the registration.
    metadata: { scope: "openid profile email" },
  },
  {
    ...SDK,
    name: "claude-code",
    title: "Claude Code",
    redirectUris: ["http://localhost/callback", "http://127.0.0.1/callback"],
    redirectUri: "http://localhost:3118/callback",
  },
  {
    ...SDK,
    name: "chatgpt",
    title: "ChatGPT",
    redirectUris: ["https://chatgpt.com/connector_platform_oauth_redirect"],
    authMethod: "client_secret_basic",
    comparesResource: false,
  },
  {
    ...SDK,
    name: "vscode",
    title: "VS Code",
    redirectUris: [
      "https://insiders.vscode.dev/redirect",
      "https://vscode.dev/redirect",
      "http://127.0.0.1/",
      "http://127.0.0.1:33418/",
    ],
    redirectUri: "http://127.0.0.1:33419/",
    metadata: { application_type: "native" },
  },
  {
    ...SDK,
    name: "cursor",
    title: "Cursor",
    redirectUris: [
      "cursor://anysphere.cursor-mcp/oauth/callback",
      "https://www.cursor.com/agents/mcp/oauth/callback",
      "http://localhost:8787/callback",
    ],
  },
  {
    ...SDK,
    name: "inspector",
    title: "MCP Inspector",
    redirectUris: ["http://localhost:6274/oauth/callback"],
    origin: "http://localhost:6274",
  },
];
