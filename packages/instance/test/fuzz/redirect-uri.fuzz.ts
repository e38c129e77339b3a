import { generateKeyPairSync } from "node:crypto";
import { Redis } from "ioredis";
import { errors, type ClientMetadata } from "oidc-provider";
import type { Hostname } from "@gatehouse/shared/hostname";
import { parseHostConfig, type HostConfig } from "@gatehouse/shared/host-config";
import { newSecretKey, SealingKeys } from "@gatehouse/shared/sealing";
import { expectSame, expectThat, type FuzzTarget } from "@gatehouse/testbed/fuzz/target";
import { DocumentFetcher } from "../../src/authorization-server/document-fetch.ts";
import { OAuthStore } from "../../src/authorization-server/oauth-store.ts";
import { buildProvider } from "../../src/authorization-server/provider.ts";
import { DEFAULT_LIFETIMES } from "../../src/oauth/lifetimes.ts";
import { checkRedirectUri } from "../../src/oauth/redirect-uri.ts";

const HOSTNAME = "app.example" as Hostname;
const SCHEMES = ["cursor:", "javascript:"];

let engine: ReturnType<typeof buildProvider> | undefined;

/** The engine as an instance builds it. Its store is never asked: nothing here is looked up or saved. */
function openEngine(): ReturnType<typeof buildProvider> {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const sealing = SealingKeys.parse(newSecretKey(), [])?.forHostname(HOSTNAME);
  if (sealing === undefined) throw new Error("a fresh key is a key");
  const store = new OAuthStore({
    redis: new Redis({ lazyConnect: true }),
    hostname: HOSTNAME,
    sealing,
    lifetimes: DEFAULT_LIFETIMES,
  });
  const options = {
    origin: `https://${HOSTNAME}`,
    hostConfig,
    store,
    login: { reassess: () => Promise.reject(new Error("nobody logs in here")) },
    documents: new DocumentFetcher(),
    redirectSchemes: SCHEMES,
  };
  return buildProvider(options, { active: { kid: "k", privateKey }, public: [] });
}

function hostConfig(): HostConfig {
  const read = parseHostConfig(JSON.stringify({ target_url: "http://127.0.0.1:1" }));
  if (!read.ok) throw new Error("a host config of one field");
  return read.config;
}

/** The first line is registered, the second asked for. */
function check(input: Buffer): void {
  const [registered = "", asked = ""] = input.toString("utf8").split("\n");
  checkRegistered(registered);
  const client = register(registered);
  if (client === undefined) return;
  expectThat("registered only what the rules let pass", checkRedirectUri(registered, SCHEMES).ok);
  expectThat("what is registered is allowed", client.redirectUriAllowed(registered));
  if (!client.redirectUriAllowed(asked) || asked === registered) return;
  // RFC 9700 section 4.1.3: exact comparison, but for the port of a loopback address (RFC 8252 section 7.3).
  const [left, right] = [loopbackParts(registered), loopbackParts(asked)];
  expectThat("only a loopback URI may differ", left !== undefined && right !== undefined);
  expectSame("and in its port alone", right, left);
  // A browser goes to the same machine and path.
  const [to, from] = [new URL(asked), new URL(registered)];
  to.port = from.port;
  expectSame("as a URL parser reads it", to.href, from.href);
}

function checkRegistered(uri: string): void {
  const read = checkRedirectUri(uri, SCHEMES);
  if (!read.ok) return expectThat("says why", /^must [ -~]+$/.test(read.problem));
  const url = new URL(uri);
  expectThat(
    "no fragment, userinfo or script",
    url.hash === "" && url.username === "" && url.password === "",
  );
  expectThat("ASCII, nothing a parser would drop", /^[!-~]{1,2048}$/.test(uri));
  switch (read.kind) {
    case "https":
      expectSame("what a person reads is where it leads", [read.host, url.protocol], [url.host, "https:"]);
      break;
    case "loopback":
      expectThat("this machine", ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname));
      break;
    case "private-use":
      expectSame("only a scheme of the list", [read.host, url.protocol], ["cursor:", "cursor:"]);
  }
}

/** The engine's own model of a client; its types leave out that it is made from metadata. */
type ClientModel = new (metadata: ClientMetadata) => { redirectUriAllowed(uri: string): boolean };

function register(uri: string): InstanceType<ClientModel> | undefined {
  engine ??= openEngine();
  const Client = engine.Client as unknown as ClientModel;
  try {
    return new Client({ client_id: "client_1", redirect_uris: [uri], token_endpoint_auth_method: "none" });
  } catch (error) {
    if (error instanceof errors.InvalidClientMetadata || error instanceof errors.InvalidRedirectUri)
      return undefined;
    throw error;
  }
}

/** Before and behind the port; undefined when it is no loopback URI. Read from the text, as the comparison has to be. */
function loopbackParts(uri: string): [host: string, rest: string] | undefined {
  const match = /^(http:\/\/(?:localhost|127\.0\.0\.1|\[::1\]))(?::\d*)?((?:[/?].*)?)$/i.exec(uri);
  return match === null ? undefined : [match[1] ?? "", match[2] ?? ""];
}

export const target: FuzzTarget = {
  name: "redirect-uri",
  guides: [
    "instance/src/oauth/redirect-uri.ts",
    "instance/src/authorization-server/client-policy.ts",
    "oidc-provider/lib/models/client.js",
  ],
  seeds: [
    "https://claude.ai/api/mcp/auth_callback\nhttps://claude.ai/api/mcp/auth_callback",
    "http://127.0.0.1:33418/\nhttp://127.0.0.1:1/",
    "http://localhost/cb?x=y\nhttp://localhost:65535/cb?x=y",
    "http://[::1]:6274/oauth/callback\nhttp://[::1]/oauth/callback",
    "cursor://anysphere.cursor-mcp/oauth/cb\ncursor://anysphere.cursor-mcp/oauth/cb",
    "https://a.example:8443/cb\nhttps://a.example:8444/cb",
    "http://localhost:1@evil.example/\nhttp://localhost:1/",
  ].map((text) => Buffer.from(text)),
  dictionary: [
    "http://",
    "https://",
    "cursor:",
    "javascript:",
    "localhost",
    "127.0.0.1",
    "[::1]",
    "127.1",
    "0x7f.1",
    ":0",
    ":65536",
    "@",
    "#",
    "*",
    "\\",
    "%2e",
    "..",
    "?",
    "\n",
    "\t",
    "user:pass@",
    ".evil.example",
    "%00",
  ],
  maxBytes: 5000,
  check,
};
