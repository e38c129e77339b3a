import { readFile } from "node:fs/promises";
import { connect as tlsConnect } from "node:tls";
import type { Client } from "@modelcontextprotocol/client";
import type { DemoFile } from "./demo-file.ts";
import { isFree } from "./free-port.ts";
import { DEMO_HOSTS, type DemoHost } from "./hosts.ts";
import type { Narrator } from "./narrator.ts";
import type { DemoOptions } from "./options.ts";
import { Peer, REVISIONS, type PeerPlace, type Revision } from "./peer.ts";
import { watchPings, type PingWatch } from "./ping-watch.ts";

/** On Linux all of 127.0.0.0/8 is this machine: an address that only the peer uses shows that it is passed on. */
const PEER_ADDRESS = "127.0.0.42";

/** TLS alert `unrecognized_name` (RFC 6066 section 3) as Node names it. */
const UNRECOGNIZED_NAME = "ERR_SSL_TLSV1_UNRECOGNIZED_NAME";

const TOOL_STEPS = 5;

/** Time for what should take no time, on a machine with every core busy. */
const PATIENCE_MS = 30_000;

/**
 * Does what a hosted MCP client does: calls all hosts at once, session-based and stateless, and keeps an event stream open on each.
 * Returns the address it came from. @throws at the first answer that is not as it must be
 */
export async function runAsPeer(file: DemoFile, options: DemoOptions, narrator: Narrator): Promise<string> {
  const address = (await isFree(PEER_ADDRESS, 0)) ? PEER_ADDRESS : "127.0.0.1";
  const place: PeerPlace = {
    ...file.dispatcher,
    localAddress: address,
    caPem: await readFile(file.ca_file, "utf8"),
  };
  const isForeign = (host: DemoHost): boolean =>
    host.upstream === "simple" && options.foreignUpstream !== undefined;
  const peer = new Peer(place);
  const pings = new Map<string, PingWatch>();
  try {
    narrator.step(
      `A peer at ${address} calls every host at once, session-based and stateless, tools and streams`,
    );
    await Promise.all(
      DEMO_HOSTS.map(async (host) => {
        const origin = originOf(file, host);
        if (isForeign(host)) return await callForeign(peer, origin, narrator);
        const watch = watchPings();
        pings.set(host.hostname, watch);
        await callTools(peer, { origin, address, watch }, narrator);
      }),
    );
    const own = DEMO_HOSTS.find((host) => !isForeign(host));
    if (own !== undefined) await callOverIpv6(place, new URL("/mcp", originOf(file, own)), narrator);
    await callUnknownName(place, narrator);
    narrator.step(`The event streams are still open: a ping every ${options.pingSeconds} s on each`);
    const patience = options.pingSeconds * 1000 + PATIENCE_MS;
    await Promise.all(
      [...pings].map(async ([hostname, watch]) =>
        narrator.detail(`${hostname}: "${await watch.next(patience)}"`),
      ),
    );
    return address;
  } finally {
    await peer.close();
  }
}

function originOf(file: DemoFile, host: DemoHost): string {
  const entry = file.hosts[host.hostname];
  if (entry === undefined) throw new Error(`${host.hostname} was not started`);
  return entry.origin;
}

/** What is behind a replaced upstream is not known, so one answer is shown, whatever it is. */
async function callForeign(peer: Peer, origin: string, narrator: Narrator): Promise<void> {
  const response = await peer.fetch(`${origin}/`);
  narrator.detail(`${origin}/: ${response.status} from the upstream of GATEHOUSE_DEMO_UPSTREAM`);
  await response.body?.cancel();
}

interface ToolVisit {
  readonly origin: string;
  /** The peer's own address, which the upstream must be told. */
  readonly address: string;
  readonly watch: PingWatch;
}

async function callTools(peer: Peer, visit: ToolVisit, narrator: Narrator): Promise<void> {
  for (const revision of Object.keys(REVISIONS) as Revision[]) {
    const url = new URL("/mcp", visit.origin);
    const client = await peer.mcpClient(url, revision, visit.watch.observe);
    const { tools } = await client.listTools();
    const seen = await upstreamView(client);
    const forwardedFor = seen["x-forwarded-for"];
    if (forwardedFor !== visit.address)
      throw new Error(`${url.href}: the upstream was told ${forwardedFor}, the peer is ${visit.address}`);
    const progress = await countSteps(client);
    narrator.detail(
      `${url.hostname}, ${revision}: ${tools.length} tools (${tools.map(({ name }) => name).join(", ")})\n` +
        `   whoami: the upstream saw X-Forwarded-For ${forwardedFor}, X-Forwarded-Host ${seen["x-forwarded-host"]}, ` +
        `${seen["x-request-id"]}\n` +
        `   count: ${progress} progress events, one by one, before the result`,
    );
    // The session-based client stays: its GET stream is the one that carries pings.
    if (revision !== "session-based") await client.close();
  }
}

/** The headers the MCP server received, as its tool `whoami` tells. */
async function upstreamView(client: Client): Promise<Record<string, string>> {
  const { headers } = JSON.parse(await firstText(client, "whoami")) as { headers: Record<string, string> };
  return headers;
}

async function firstText(client: Client, tool: string): Promise<string> {
  const { content } = await client.callTool({ name: tool }, { timeout: PATIENCE_MS });
  const [first] = content;
  if (first?.type !== "text") throw new Error(`${tool} did not answer with text`);
  return first.text;
}

async function countSteps(client: Client): Promise<number> {
  let steps = 0;
  const call = { name: "count", arguments: { to: TOOL_STEPS, pause_ms: 20 } };
  await client.callTool(call, { onprogress: () => steps++, timeout: PATIENCE_MS });
  if (steps !== TOOL_STEPS) throw new Error(`count sent ${steps} progress events, not ${TOOL_STEPS}`);
  return steps;
}

async function callOverIpv6(place: PeerPlace, url: URL, narrator: Narrator): Promise<void> {
  if (await isFree("::1", place.port)) return; // nobody listens there: this machine has no IPv6
  narrator.step("The same over IPv6");
  const peer = new Peer({ host: "::1", port: place.port, caPem: place.caPem });
  try {
    const seen = await upstreamView(await peer.mcpClient(url, "stateless 2026-07-28"));
    if (seen["x-forwarded-for"] !== "::1")
      throw new Error(`the upstream was told ${seen["x-forwarded-for"]}, not ::1`);
    narrator.detail(`${url.hostname}: the upstream saw X-Forwarded-For ::1`);
  } finally {
    await peer.close();
  }
}

async function callUnknownName(place: PeerPlace, narrator: Narrator): Promise<void> {
  narrator.step("A name without a route is refused before anything is decrypted");
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = tlsConnect({ ...place, servername: "nobody-here.localhost" });
  socket.setTimeout(PATIENCE_MS, () => reject(new Error("no answer")));
  socket.once("secureConnect", () => reject(new Error("the handshake succeeded")));
  socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  const answer = await promise.finally(() => socket.destroy());
  if (answer !== UNRECOGNIZED_NAME) throw new Error(`expected TLS alert 112, got ${answer}`);
  narrator.detail("nobody-here.localhost: TLS alert 112, unrecognized_name");
}
