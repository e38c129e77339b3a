/** Everything that happened is in the record: each way something can begin, be refused, fail or end, and the line it leaves. */
import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { duplexPair } from "node:stream";
import { connect } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { WebSocket } from "ws";
import { freePort } from "@gatehouse/testbed/free-ports";
import { openStream, startRequest } from "./support/https-peer.ts";
import { idsOf, RecordBed } from "./support/record-bed.ts";
import { closed } from "./support/wire-peer.ts";

const OPEN = "open.localhost";
const LISTED = "listed.localhost";
const TIMEOUT_MS = 60_000;
/** Where the limit per address is reached without anybody else. */
const CROWDED = "127.0.0.9";
const MAX_PER_ADDRESS = 64;

let bed: RecordBed;
let listedPort: number;

beforeAll(async () => {
  const impatient = {
    GATEHOUSE_HEADERS_TIMEOUT_MS: "300",
    GATEHOUSE_BODY_IDLE_TIMEOUT_MS: "200",
    GATEHOUSE_UPSTREAM_HEADERS_TIMEOUT_MS: "1000",
    GATEHOUSE_MAX_BODY_BYTES: "100000",
    GATEHOUSE_TLS_HANDSHAKE_TIMEOUT_MS: "300",
  };
  const open = { hostname: OPEN, config: { auth_enabled: false, allowed_origins: [] }, env: impatient };
  bed = await RecordBed.start([open], {
    GATEHOUSE_HELLO_TIMEOUT_MS: "700",
    GATEHOUSE_DIAL_TIMEOUT_MS: "300",
    GATEHOUSE_MAX_CONNECTIONS_PER_ADDRESS: String(MAX_PER_ADDRESS),
  });
  const { gatehouse, upstream } = bed;
  const config = { allowed_addresses: ["192.0.2.0/24"] };
  await gatehouse.addHost({ hostname: LISTED, upstreamUrl: upstream.url, target: "tcp", config });
  listedPort = Number(await gatehouse.store.get(`route:${LISTED}`));
  await gatehouse.store.mset({
    "route:alias.localhost": (await gatehouse.store.get(`route:${OPEN}`)) ?? "",
    "route:down.localhost": String(await freePort()),
    "route:bad.localhost": "nonsense",
    "route:loop.localhost": String(gatehouse.port),
  });
}, TIMEOUT_MS);

afterAll(async () => {
  await bed?.stop();
});

/** Says something in the clear to that port, and waits until it is cut off. */
async function tell(bytes: string, { port = bed.gatehouse.port, end = false } = {}): Promise<void> {
  const socket = connectTcp(port, "127.0.0.1");
  socket.on("error", () => undefined).resume();
  socket.write(Buffer.from(bytes, "latin1"));
  if (end) socket.end();
  await closed(socket);
}

async function handshake(servername: string, options: { ca?: string[]; ALPNProtocols?: string[] } = {}) {
  const { port, caPem } = bed.gatehouse;
  const socket = connect({ port, host: "127.0.0.1", servername, ca: caPem, ...options });
  socket.on("error", () => undefined).on("secureConnect", () => socket.destroy());
  await closed(socket);
}

/** The ClientHello of a real peer, as octets. */
async function helloOf(servername: string): Promise<string> {
  const [near, far] = duplexPair();
  connect({ socket: near, servername }).on("error", () => undefined);
  const [hello] = (await once(far, "data")) as [Buffer];
  return hello.toString("latin1");
}

async function crowd(): Promise<void> {
  const sockets = Array.from({ length: MAX_PER_ADDRESS + 1 }, () =>
    connectTcp({ port: bed.gatehouse.port, host: "127.0.0.1", localAddress: CROWDED }).on(
      "error",
      () => undefined,
    ),
  );
  await Promise.race(sockets.map(async (socket) => await closed(socket)));
  for (const socket of sockets) socket.destroy();
}

describe("a connection at the dispatcher", () => {
  test.each<[string, () => unknown, RegExp]>([
    [
      "for a name nobody routed",
      () => handshake("nobody.localhost"),
      /⚠ \[WARN\] refused: no_route nobody\.localhost \(alert 112\)/,
    ],
    ["without a name", () => handshake(""), /⚠ \[WARN\] refused: no_sni \(alert 112\)/],
    [
      "that is no ClientHello",
      () => tell("\u0016\u0003\u0001\u0000\u0005\u0002\u0000\u0000\u0001\u0000"),
      /refused: malformed_hello \(alert 50\)/,
    ],
    [
      "whose hello is late",
      () => tell("\u0016\u0003\u0001\u0000\u0050\u0001"),
      /refused: hello_timeout \(alert 50\)/,
    ],
    [
      "whose hello is too large",
      () => tell(`\u0016\u0003\u0001\u0040\u0000\u0001\u000f\u00ff\u00ff${"\u0003".repeat(0x3ffc)}`),
      /refused: hello_too_large \(alert 50\)/,
    ],
    ["that speaks HTTP", () => tell("GET / HTTP/1.1\r\n\r\n"), /refused: not_tls \(status 400\)/],
    [
      "whose target is down",
      () => handshake("down.localhost"),
      /refused: target_down down\.localhost \(alert 80\): connect ECONNREFUSED/,
    ],
    [
      "whose route can't be read",
      () => handshake("bad.localhost"),
      /refused: bad_route bad\.localhost \(alert 80\): route:bad\.localhost: target "nonsense"/,
    ],
    ["that leads back here", () => handshake("loop.localhost"), /refused: loop loop\.localhost \(alert 80\)/],
    ["one too many", crowd, /refused: too_many_connections \(reset\): \d+ since the last such record/],
    [
      "that leaves before it said anything",
      () => tell("", { end: true }),
      /◆ \[DEBUG\] connection ended: peer closed in hello, .* in 0 B/,
    ],
    [
      "that leaves in its hello",
      () => tell("\u0016\u0003", { end: true }),
      /● \[INFO\] connection ended: peer closed in hello, .* in 2 B/,
    ],
    [
      "that ends",
      () => handshake(OPEN),
      /● \[INFO\] connection ended: peer (?:closed|aborted) in splice, .* in [\d,]+ B, out [\d,]+ B\n.*→ Proxy: open\.localhost → unix:/,
    ],
  ])("%s", async (_what, deed, matches) => {
    const record = await bed.recordOf("dispatcher", deed, matches);
    expect(record.component).toBe("dispatcher");
    expect(record.text).toMatch(/Client: 127\.0\.0\.\d/);
    // What is shed by the thousand has no connection of its own.
    if (!matches.source.includes("too_many")) expect(idsOf(record).conn).toMatch(/^c-[0-9A-Z]{26}$/);
  });
});

describe("a connection at an instance", () => {
  test.each<[string, string, () => unknown, RegExp]>([
    [
      "from an address that is not allowed",
      LISTED,
      () => handshake(LISTED),
      /⚠ \[WARN\] refused: address_not_allowed/,
    ],
    [
      "without a PROXY header",
      LISTED,
      () => tell("GET / HTTP/1.1\r\n\r\n", { port: listedPort }),
      /⚠ \[WARN\] refused: bad_proxy_header/,
    ],
    [
      "with no protocol in common",
      OPEN,
      () => handshake(OPEN, { ALPNProtocols: ["gopher"] }),
      /TLS failed: no_application_protocol/,
    ],
    [
      "whose peer does not trust us",
      OPEN,
      () => handshake(OPEN, { ca: [] }),
      /TLS failed: (?:peer_closed|\w*unknown_ca)/,
    ],
    [
      "whose handshake is late",
      OPEN,
      async () => await tell(await helloOf(OPEN)),
      /TLS failed: handshake_timeout/,
    ],
  ])("%s", async (_what, ...row) => {
    const [where, deed, matches] = row;
    const record = await bed.recordOf(where, deed, matches);
    const { conn = "" } = idsOf(record);
    if (matches.source.includes("bad_proxy_header")) return;
    const other = await bed.gatehouse.dispatcher.awaitRecord(new RegExp(`connection ended[^]*conn=${conn}`));
    expect(idsOf(other)).toEqual({ conn });
  });
});

/** A request of HTTP/1.1 as text; `Connection: close` ends it where it is answered. */
function asking(
  line: string,
  fields: readonly string[] = [],
  { host = OPEN, body = "" } = {},
): () => Promise<string> {
  return async () => {
    const head = [`${line} HTTP/1.1`, `Host: ${host}:${bed.gatehouse.port}`, "Connection: close", ...fields];
    return await bed.peer.say(OPEN, `${head.join("\r\n")}\r\n\r\n${body}`);
  };
}

function overHttp2(
  fields: Record<string, string>,
  { leave = false, body = false } = {},
): () => Promise<void> {
  return async () => {
    const session = await bed.peer.openHttp2(OPEN);
    const stream = session.request(fields, { endStream: !body });
    stream.on("error", () => undefined).resume();
    if (leave) setTimeout(() => stream.close(8), 150);
    await closed(stream);
    session.destroy();
  };
}

async function twoHosts(): Promise<string> {
  return await bed.peer.say(OPEN, "GET /two HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
}

/** The certificate is the host's own, so a peer that looks at it would leave. */
async function underAlias(): Promise<string> {
  const text = `GET /alias HTTP/1.1\r\nHost: ${OPEN}:${bed.gatehouse.port}\r\nConnection: close\r\n\r\n`;
  return await bed.peer.say("alias.localhost", text, { checkServerIdentity: () => undefined });
}

async function garbageInAnAnswer(): Promise<void> {
  await bed.peer.say(
    OPEN,
    `GET /endless HTTP/1.1\r\nHost: ${OPEN}:${bed.gatehouse.port}\r\n\r\nNONSENSE\r\n\r\n`,
  );
}

async function brokenHttp2(): Promise<void> {
  const socket = await bed.peer.secure(OPEN, { ALPNProtocols: ["h2"] });
  socket.resume().write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nNONSENSE-NONSENSE-NONSENSE");
  await closed(socket);
}

async function leaving(path: string): Promise<void> {
  const started = startRequest(bed.gatehouse, { hostname: OPEN, path });
  const gone = once(started, "close");
  started.on("error", () => undefined).end();
  setTimeout(() => started.destroy(), 150);
  await gone.catch(() => undefined);
}

describe("a request to an open host", () => {
  test.each<[string, () => unknown, RegExp]>([
    ["that is answered", asking("GET /hello"), /✓ 200 GET \/hello \(\d+ms\)$/m],
    ["on HTTP/2", overHttp2({ ":path": "/hello2" }), /✓ 200 GET \/hello2 \(\d+ms\)$/m],
    [
      "a tool call",
      asking("POST /mcp", ["Content-Type: application/json", "Content-Length: 62"], {
        body: '{"method":"tools/call","id":1,"params":{"name":"get_weather"}}',
      }),
      /✓ 200 POST \/mcp tools\/call get_weather \(\d+ms\)$/m,
    ],
    ["to the server as a whole", asking("OPTIONS *"), /✓ 204 OPTIONS \(\d+ms\) server_options/],
    [
      "for another host",
      asking("GET /other", [], { host: "other.localhost" }),
      /⚠ 421 GET \/other \(\d+ms\) Host names another host or port misdirected/,
    ],
    [
      "after a handshake for another name",
      underAlias,
      /⚠ 421 GET \/alias \(\d+ms\) the handshake was for another name misdirected/,
    ],
    ["with two hosts", twoHosts, /⚠ 400 GET \/two \(\d+ms\) more than one Host bad_host/],
    [
      "whose path reads two ways",
      asking("GET /a/../b"),
      /⚠ 400 GET \/a\/\.\.\/b \(\d+ms\) a dot segment in the path/,
    ],
    [
      "with a backslash",
      asking("GET /a\\b"),
      /⚠ 400 GET \/a\\b \(\d+ms\) a backslash in the path bad_target/,
    ],
    ["by TRACE", asking("TRACE /t"), /⚠ 405 TRACE \/t \(\d+ms\) TRACE is not forwarded method_not_allowed/],
    [
      "by CONNECT",
      asking("CONNECT a:1"),
      /⚠ 405 CONNECT \(\d+ms\) CONNECT is not forwarded method_not_allowed/,
    ],
    [
      "from another origin",
      asking("GET /origin", ["Origin: https://evil.example"]),
      /⚠ 403 GET \/origin \(\d+ms\) origin_not_allowed/,
    ],
    [
      "that is none",
      async () => await bed.peer.say(OPEN, "NONSENSE\r\n\r\n"),
      /⚠ 400 \(\d+ms\) HPE_\w+ malformed_request/,
    ],
    [
      "that is none, in the middle of an answer",
      garbageInAnAnswer,
      /⚠ 400 \(\d+ms\) HPE_\w+ malformed_request/,
    ],
    ["that is no HTTP/2", brokenHttp2, /⚠ 400 \(\d+ms\) HTTP\/2 session ended: .* malformed_request/],
    [
      "whose head is late",
      async () => await closed((await bed.peer.secure(OPEN)).resume()),
      /⚠ 408 \(\d+ms\) ERR_HTTP_REQUEST_TIMEOUT request_timeout/,
    ],
    [
      "whose head is too large",
      asking("GET /large", [`X: ${"x".repeat(40_000)}`]),
      /⚠ 431 \(\d+ms\) HPE_HEADER_OVERFLOW header_too_large/,
    ],
    [
      "whose body is too large",
      asking("POST /large", ["Content-Length: 1000000"]),
      /⚠ 413 POST \/large \(\d+ms\) content_too_large/,
    ],
    [
      "whose body stands still",
      asking("POST /still", ["Content-Length: 10"]),
      /⚠ 408 POST \/still \(\d+ms\) body_stalled/,
    ],
    ["whose upstream resets", asking("POST /reset"), /✗ 502 POST \/reset \(\d+ms\) reset/],
    ["whose upstream speaks nonsense", asking("GET /nonsense"), /✗ 502 GET \/nonsense \(\d+ms\) malformed/],
    [
      "whose upstream keeps silent",
      async () => {
        startRequest(bed.gatehouse, { hostname: OPEN, path: "/silent?too" })
          .on("error", () => undefined)
          .end();
      },
      /✗ 504 GET \/silent \(\d+ms\) timeout/,
    ],
    [
      "whose peer leaves",
      async () => await leaving("/silent?a"),
      /⚠ 499 GET \/silent \(\d+ms\) aborted_by_peer/,
    ],
    [
      "whose peer leaves on HTTP/2",
      overHttp2({ ":path": "/silent?b" }, { leave: true }),
      /⚠ 499 GET \/silent \(\d+ms\) aborted_by_peer/,
    ],
  ])("%s", async (_what, deed, matches) => {
    const record = await bed.recordOf(OPEN, deed, matches);
    expect(record.component).toBe("proxy_handler");
    expect(record.text).toMatch(/Client: 127\.0\.0\.1 → Proxy: open\.localhost/);
    const { conn = "", req } = idsOf(record);
    expect(req).toMatch(/^req-[0-9A-Z]{26}$/);
    const other = await bed.gatehouse.dispatcher.awaitRecord(new RegExp(`connection ended[^]*conn=${conn}`));
    expect(idsOf(other)).toEqual({ conn });
  });

  test("that is answered in the upstream's place: the peer is told the id of the record", async () => {
    let answer = "";
    const record = await bed.recordOf(
      OPEN,
      async () => (answer = await asking("POST /reset")()),
      /502 POST \/reset/,
    );
    expect(answer).toContain(`"request_id":"${idsOf(record).req}"`);
  });
});

function webSocket(path: string): WebSocket {
  const { port, caPem } = bed.gatehouse;
  const lookup = ((_name: string, _options: unknown, found: (...args: unknown[]) => void) =>
    found(null, [{ address: "127.0.0.1", family: 4 }])) as never;
  return new WebSocket(`wss://${OPEN}:${port}${path}`, { ca: caPem, lookup }).on("error", () => undefined);
}

async function leavingWebSocket(): Promise<void> {
  const socket = webSocket("/ws-long");
  await once(socket, "message");
  socket.terminate();
}

async function leavingStream(path: string): Promise<void> {
  const stream = await openStream(bed.gatehouse, { hostname: OPEN, path });
  stream.destroy();
}

describe("a stream", () => {
  test.each<[string, () => unknown, RegExp]>([
    [
      "that the upstream ends",
      asking("GET /stream"),
      /✓ 200 GET \/stream \(\d+ms\) stream ended by upstream, [2-4] chunks$/m,
    ],
    [
      "on HTTP/2",
      overHttp2({ ":path": "/stream" }),
      /✓ 200 GET \/stream \(\d+ms\) stream ended by upstream, [2-4] chunks$/m,
    ],
    [
      "that the upstream breaks off",
      asking("GET /cut"),
      /✓ 200 GET \/cut \(\d+ms\) stream ended by upstream, \d chunks? reset$/m,
    ],
    [
      "that the peer leaves",
      async () => await leavingStream("/endless"),
      /✓ 200 GET \/endless \(\d+ms\) stream ended by peer, \d chunks? aborted_by_peer$/m,
    ],
    [
      "a WebSocket that the upstream ends",
      () => webSocket("/ws-short"),
      /✓ 101 GET \/ws-short \(\d+ms\) stream ended by upstream, \d chunks?$/m,
    ],
    [
      "a WebSocket that the peer leaves",
      leavingWebSocket,
      /✓ 101 GET \/ws-long \(\d+ms\) stream ended by peer, 1 chunk$/m,
    ],
  ])("%s: its start, its chunks, its end", async (_what, deed, matches) => {
    const since = bed.process(OPEN).records.count;
    const { req = "" } = idsOf(await bed.recordOf(OPEN, deed, matches));
    const all = bed.process(OPEN).records.all(new RegExp(`req=${req}`), since);
    const [first, second] = all.map(({ headline }) => headline);
    expect(first).toMatch(/● \[INFO\] stream started: GET \/\w/);
    expect(second).toMatch(/● \[INFO\] (?:SSE|WebSocket) chunk 1: \d+ bytes/);
    for (const { headline } of all.slice(3, -1))
      expect(headline).toMatch(/◆ \[DEBUG\] SSE chunk \d: \d+ bytes/);
  });

  test("a WebSocket that never opens", async () => {
    await bed.recordOf(OPEN, () => webSocket("/ws-refused"), /⚠ 401 GET \/ws-refused \(\d+ms\)$/m);
  });

  test("that the gateway ends: who and why", async () => {
    const config = { target_url: bed.upstream.url, certificate: "file", allowed_origins: [] };
    const [stream, socket] = [
      await openStream(bed.gatehouse, { hostname: OPEN, path: "/endless" }),
      webSocket("/ws-long"),
    ];
    stream.resume();
    await once(socket, "message");
    const since = bed.process(OPEN).records.count;
    await bed.gatehouse.configure(OPEN, { ...config, enabled: false });
    for (const line of [
      /✓ 200 GET \/endless \(\d+ms\) stream ended by gateway, \d+ chunks? host_closed$/m,
      /✓ 101 GET \/ws-long \(\d+ms\) stream ended by gateway, 1 chunk host_closed$/m,
      /host config in force/,
    ])
      await bed.process(OPEN).awaitRecord(line, { since });
    await bed.recordOf(
      OPEN,
      asking("GET /disabled"),
      /⚠ 404 GET \/disabled \(\d+ms\) enabled is false disabled/,
    );
    await bed.gatehouse.configure(OPEN, { ...config, maintenance: true });
    await bed.process(OPEN).awaitRecord(/host config in force/, { since: bed.process(OPEN).records.count });
    await bed.recordOf(
      OPEN,
      asking("GET /shut"),
      /✗ 503 GET \/shut \(\d+ms\) maintenance is true maintenance/,
    );
    await bed.recordOf(OPEN, async () => await bed.gatehouse.configure(OPEN, config), /host config in force/);
  });
});

test("the end of the processes, and what it ends", async () => {
  const { dispatcher } = bed.gatehouse;
  const instance = bed.process(OPEN);
  const stream = await openStream(bed.gatehouse, { hostname: OPEN, path: "/endless" });
  stream.resume();
  await instance.stop();
  for (const line of [
    /● \[INFO\] instance stopping: 1 s for what runs/,
    /✓ 200 GET \/endless \(\d+ms\) stream ended by gateway, \d+ chunks? stopping$/m,
    /● \[INFO\] instance stopped/,
  ])
    await instance.awaitRecord(line);
  await dispatcher.stop();
  for (const line of [/\] no new connections; \d+ open ones? may go on/, /● \[INFO\] dispatcher stopped/])
    await dispatcher.awaitRecord(line);
});
