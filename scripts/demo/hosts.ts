/** One hostname of the demo. The table mirrors the log that this system was specified from. */
export interface DemoHost {
  readonly hostname: string;
  /** Which MCP server stands behind it: a key of `upstreams` in demo.json. */
  readonly upstream: "simple" | "fast_echo";
  /** Preferred port of its instance; the next free one is taken when it is not free. */
  readonly port: number;
  /** The host config's own fields, as an operator would write them; `target_url` and `certificate` are added. */
  readonly config: { readonly auth_enabled: boolean; readonly [field: string]: unknown };
}

/** The host that asks for a token. */
export const PROTECTED_HOST: DemoHost = {
  hostname: "simple-oauth.localhost",
  upstream: "simple",
  port: 13_001,
  config: {
    auth_enabled: true,
    auth_required_users: ["*"],
    oauth_admin_users: ["octocat"],
    oauth_user_users: ["*"],
    oauth_mcp_users: ["*"],
  },
};

const OPEN = { auth_enabled: false };

export const DEMO_HOSTS: readonly DemoHost[] = [
  PROTECTED_HOST,
  { hostname: "simple.localhost", upstream: "simple", port: 13_002, config: OPEN },
  { hostname: "fast-echo.localhost", upstream: "fast_echo", port: 13_003, config: OPEN },
];
