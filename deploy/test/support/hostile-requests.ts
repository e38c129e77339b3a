import fc from "fast-check";

type Plant = (slot: string) => string;
type Part = (plant: Plant) => string;

/** One request of a careless or hostile peer, as it goes on the wire of HTTP/1.1. */
export interface HostileRequest {
  readonly method: string;
  readonly target: Part;
  readonly query: readonly Part[];
  readonly fields: readonly Part[];
  readonly body: Part | undefined;
  readonly flaw: Part | undefined;
}

/** Everywhere a field of a request can hold a secret. */
const FIELDS: readonly Part[] = [
  (plant) => `Authorization: Bearer ${plant("Bearer")}`,
  (plant) => `Authorization: Bearer ${plant("broken Bearer")} ${plant("broken Bearer, behind")}`,
  (plant) => `Authorization: Basic ${Buffer.from(`id:${plant("Basic")}`).toString("base64")}`,
  (plant) => `Authorization: ${plant("a scheme of its own")}`,
  (plant) => `Authorization: Bearer e30.${plant("JWT payload")}.${plant("JWT signature")}`,
  (plant) => `authorization_: ${plant("a spelling of its own")}`,
  (plant) => `Cookie: __Host-gatehouse-login=${plant("own cookie")}; other=${plant("other cookie")}`,
  (plant) => `Proxy-Authorization: Basic ${plant("Proxy-Authorization")}`,
  (plant) => `Mcp-Session-Id: ${plant("Mcp-Session-Id")}`,
  (plant) => `Mcp-Method: resources/read\r\nMcp-Name: vault://${plant("Mcp-Name")}`,
  (plant) => `Last-Event-ID: ${plant("Last-Event-ID")}`,
  (plant) => `X-Auth-User: ${plant("X-Auth-User")}`,
  (plant) => `X-Api-Key: ${plant("X-Api-Key")}`,
  (plant) => `User-Agent: ${plant("User-Agent")}`,
  (plant) => `Referer: https://x.example/?code=${plant("Referer")}`,
  (plant) => `Origin: https://${plant("Origin")}.example`,
  (plant) => `Sec-WebSocket-Protocol: bearer.${plant("Sec-WebSocket-Protocol")}`,
  (plant) => `X-Forwarded-For: ${plant("X-Forwarded-For")}`,
  (plant) => `tracestate: a=${plant("tracestate")}`,
  (plant) => `traceparent: ${plant("traceparent")}`,
  (plant) => `X-Request-Id: ${plant("X-Request-Id")}`,
  (plant) => `Content-Type: application/json; boundary=${plant("Content-Type")}`,
  (plant) => `Content-Encoding: ${plant("Content-Encoding")}`,
  (plant) => `Mcp-Protocol-Version: ${plant("Mcp-Protocol-Version")}`,
  (plant) => `Access-Control-Request-Headers: ${plant("Access-Control-Request-Headers")}`,
  (plant) => `Upgrade: ${plant("Upgrade")}\r\nConnection: Upgrade, ${plant("Connection")}`,
  (plant) => `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${plant("Sec-WebSocket-Key")}`,
  (plant) => `Expect: ${plant("Expect")}`,
];

const QUERY: readonly Part[] = ["q", "access_token", "code", "state", "token", "client_secret", "error"].map(
  (name) => (plant) => `${name}=${plant(`query ${name}`)}`,
);

const PATHS =
  "/mcp /hello /stream /cut /reset /nonsense /bad-header /trailers /ws /ws-refused /register /authorize /callback /token /revoke " +
  "/introspect /interaction/ /a\\b /a/../b * /.well-known/oauth-authorization-server /.well-known/openid-x";
const TARGETS: readonly Part[] = PATHS.split(" ").map((path) => () => path);
const PRIVATE_TARGETS: readonly Part[] = [
  (plant) => `/authorize/${plant("authorization id")}`,
  (plant) => `/interaction/${plant("interaction id")}`,
  (plant) => `/interaction/${plant("interaction id")}/`,
  (plant) => `//interaction/${plant("interaction id")}`,
  (plant) => `/interaction%2f${plant("interaction id")}`,
  (plant) => `/authorize/${plant("authorization id")}/more`,
  (plant) => `https://user:${plant("userinfo")}@host.example/mcp`,
  (plant) => `https://${plant("authority")}.example/mcp`,
  (plant) => `/mcp#${plant("fragment")}`,
  (plant) => `${plant("no path")}:443`,
  (plant) => plant("no path"),
];

const BODIES: readonly Part[] = [
  (plant) => toolCall({ password: plant("tool argument"), deep: [{ token: plant("deep argument") }] }),
  (plant) =>
    `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"v://${plant("URI")}","name":"${plant("name of no tool")}"}}`,
  (plant) => `{"method":"tools/call","params":{"name":"a b ${plant("no tool name")}"}}`,
  (plant) => `[${toolCall(plant("batch"))},{"x":"${plant("batch")}"}]`,
  (plant) => `{"password": ${plant("broken JSON")}`,
  (plant) =>
    ["grant_type", "code", "refresh_token", "code_verifier", "client_secret", "client_assertion", "assertion"]
      .map((name) => `${name}=${plant(`form ${name}`)}`)
      .join("&"),
  (plant) =>
    `grant_type=authorization_code&code=${plant("code")}&code_verifier=${plant("verifier")}&client_id=${plant("client_id")}`,
  (plant) => `token=${plant("token")}&token=${plant("token")}&client_assertion_type=${plant("type")}`,
  (plant) =>
    `client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=e30.${plant("assertion")}.x`,
  (plant) =>
    JSON.stringify({
      redirect_uris: [`http://${plant("host")}.example/?s=${plant("redirect")}`],
      client_secret: plant("secret"),
    }),
  (plant) =>
    JSON.stringify({
      redirect_uris: [`${plant("scheme")}://x`],
      jwks: { keys: [{ kty: "oct", k: plant("key") }] },
    }),
];

/** What breaks the request itself: the last line of its head. */
const FLAWS: readonly Part[] = [
  (plant) => plant("line without colon"),
  (plant) => `X ${plant("name with a space")}: 1`,
  (plant) => `X-Null: ${plant("value with NUL")}\u0000`,
  (plant) => `Content-Length: ${plant("Content-Length")}`,
  (plant) => `Transfer-Encoding: ${plant("Transfer-Encoding")}`,
  (plant) => `Host: ${plant("second Host")}`,
  (plant) => `Transfer-Encoding: chunked\r\n\r\n${plant("chunk size")}`,
  (plant) => `X-Long: ${plant("long field")}${"x".repeat(40_000)}`,
];

function toolCall(argumentsOf: unknown): string {
  return JSON.stringify({
    jsonrpc: "2.0",
    id: 1,
    method: "tools/call",
    params: { name: "get_weather", arguments: argumentsOf },
  });
}

/** Any request: which slots are filled is up to fast-check. */
export const hostileRequest: fc.Arbitrary<HostileRequest> = fc.record({
  method: fc.constantFrom("GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"),
  target: fc.constantFrom(...TARGETS, ...PRIVATE_TARGETS),
  query: fc.subarray([...QUERY]),
  fields: fc.subarray([...FIELDS], { maxLength: 10 }),
  body: fc.option(fc.constantFrom(...BODIES), { nil: undefined }),
  flaw: fc.option(fc.constantFrom(...FLAWS), { nil: undefined, freq: 3 }),
});

/** Returns the octets, every slot filled with a secret of its own. */
export function onTheWire(request: HostileRequest, host: string, plant: Plant): string {
  const { method, target, query, fields, body, flaw } = request;
  const parameters = query.map((part) => part(plant)).join("&");
  const content = body?.(plant) ?? "";
  const isForm = /^\w+=/.test(content);
  const lines = [
    `${method} ${target(plant)}${parameters === "" ? "" : `?${parameters}`} HTTP/1.1`,
    `Host: ${host}`,
    ...fields.map((part) => part(plant)),
    ...(body === undefined
      ? []
      : [
          `Content-Type: application/${isForm ? "x-www-form-urlencoded" : "json"}`,
          `Content-Length: ${content.length}`,
        ]),
    ...(flaw === undefined ? [] : [flaw(plant)]),
  ];
  return `${lines.join("\r\n")}\r\n\r\n${content}`;
}
