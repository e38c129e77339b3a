import { expectSame, expectThat, latin1, type FuzzTarget } from "@gatehouse/testbed/fuzz/target";
import { parseAcmeChallenge } from "../../src/acme-challenge.ts";
import { clientRecordSchema } from "../../src/client-record.ts";
import {
  HOST_CONFIG_FIELDS,
  parseHostConfig,
  parseUpstream,
  type HostConfig,
} from "../../src/host-config.ts";
import type { Hostname } from "../../src/hostname.ts";
import { parseRecord, recordHostname } from "../../src/oauth-record.ts";
import { parseStoredCertificate } from "../../src/stored-certificate.ts";
import { tokenRecordSchema } from "../../src/token-record.ts";

const HOSTNAME = "a.example" as Hostname;
const RECORD_SCHEMAS = [clientRecordSchema, tokenRecordSchema] as const;
/** A value that stands in seeds where a secret may; a problem must never quote it. */
const SECRET = "hunter2-hunter2";

/** JSON documents that lie in Redis: host config, stored certificate, challenge, client and token record. */
function check(input: Buffer): void {
  const text = input.toString("utf8");
  checkHostConfig(text);
  for (const parse of [parseStoredCertificate, parseAcmeChallenge]) {
    const read: unknown = parse(text);
    if (read !== undefined) expectSame("what is accepted round-trips", parse(JSON.stringify(read)), read);
  }
  for (const schema of RECORD_SCHEMAS) {
    const read = parseRecord<{ hostname: string }>(text, { hostname: HOSTNAME, schema });
    if (read === undefined) continue;
    expectSame("only records of this hostname", [read.hostname, recordHostname(text)], [HOSTNAME, HOSTNAME]);
  }
}

function checkHostConfig(text: string): void {
  const read = parseHostConfig(text);
  if (!read.ok) {
    expectThat("says what is wrong", read.problems.length > 0);
    for (const { key, expected, got } of read.problems)
      expectThat("no value is quoted", !`${key}${expected}${got ?? ""}`.includes(SECRET));
    return;
  }
  const { config } = read;
  const again = parseHostConfig(JSON.stringify(config));
  expectSame("what is accepted round-trips", again, read);
  const given = Object.keys(JSON.parse(text) as object);
  expectThat(
    "no unknown field",
    given.every((key) => HOST_CONFIG_FIELDS.includes(key)),
  );
  expectThat(
    "auth_enabled never means open",
    !config.auth_enabled || config.auth_required_users !== undefined,
  );
  checkUpstream(config);
  for (const [name, value] of Object.entries(config.custom_headers)) {
    // The platform's own rule for what can go into a head.
    new Headers().set(name, value);
    expectThat("no line ends in a header", !/[\r\n\0]/.test(name + value));
  }
}

function checkUpstream({ target_url: text }: HostConfig): void {
  const upstream = parseUpstream(text);
  expectThat("an upstream", upstream !== undefined);
  if (upstream?.kind !== "tcp") return;
  const whole = URL.parse(`${upstream.origin}${upstream.basePath}/x`);
  expectSame("the base path stays below its origin", whole?.origin, upstream.origin);
  expectSame("and is what it says", whole?.pathname, `${upstream.basePath}/x`);
}

const PLAIN = { target_url: "http://127.0.0.1:3000" };
const PROTECTED = {
  ...PLAIN,
  auth_enabled: true,
  auth_required_users: ["octocat", "id:583231", "org:github", "*"],
  oauth_admin_users: ["octocat"],
  auth_excluded_paths: ["/health", "/public/*"],
  resource_endpoint: "/mcp",
  scope_rules: [
    { methods: ["POST"], path: "/mcp", mcp_method: "tools/call", tool: "delete_*", scope: "admin" },
  ],
  identity_provider: "oidc",
  oidc_issuer: "https://id.example",
  oidc_client_id: "x",
  oidc_client_secret: SECRET,
  custom_headers: { "X-Key": SECRET },
  allowed_origins: ["https://app.example"],
  allowed_addresses: ["10.0.0.0/8"],
  certificate: "file",
};
const CLIENT = {
  hostname: HOSTNAME,
  client_id: "client_1",
  redirect_uris: ["https://c.example/cb"],
  registration_client_uri: "https://a.example/register/client_1",
  usage_count: 0,
  last_token_issued: null,
};
const TOKEN = {
  hostname: HOSTNAME,
  jti: "j",
  sub: "octocat",
  uid: "github:1",
  client_id: "c",
  scope: "mcp",
  aud: ["https://a.example/mcp"],
  iss: "https://a.example",
  iat: 1,
  exp: 2,
  grant_id: "g",
};

export const target: FuzzTarget = {
  name: "documents",
  guides: [
    "shared/src/host-config.ts",
    "shared/src/oauth-record.ts",
    "shared/src/stored-certificate.ts",
    "shared/src/acme-challenge.ts",
  ],
  seeds: [
    PLAIN,
    PROTECTED,
    { ...PLAIN, auth_enabled: true },
    { ...PLAIN, custom_headers: { "X-A": "b\r\nX-B: c" }, certificates: "file" },
    { target_url: `https://user:${SECRET}@h.example/base/`, github_client_secret: SECRET },
    { target_url: "unix:/run/app.sock", maintenance: true },
    { target_url: "https://h.example/a/../b//", target_ca_pem: "-----BEGIN CERTIFICATE-----" },
    { fullchain_pem: "x", private_key: "y", expires_at: 1 },
    { type: "http-01", token: "t".repeat(22), key_authorization: "k" },
    CLIENT,
    TOKEN,
  ].map((document) => latin1(JSON.stringify(document))),
  dictionary: [
    ...HOST_CONFIG_FIELDS.map((field) => `"${field}":`),
    '"__proto__":',
    '"constructor":{}',
    ",",
    "{}",
    "[]",
    "null",
    "true",
    '"*"',
    '"/*"',
    '"\\u0000"',
    '"\\r\\n"',
    "http://",
    "unix:/",
    "1e999",
    "[[[[[[[[",
    SECRET,
  ],
  maxBytes: 4000,
  check,
};
