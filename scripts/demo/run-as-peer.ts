import { readFile } from "node:fs/promises";
import { connect as tlsConnect } from "node:tls";
import type { Client } from "@modelcontextprotocol/client";
import { canListen } from "@gatehouse/testbed/free-ports";
import { describeTokens, logInAnother, logInAsClaude, type ClaudeLogin } from "./claude-login.ts";
import type { DemoFile } from "./demo-file.ts";
import { DEMO_HOSTS, PROTECTED_HOST, type DemoHost } from "./hosts.ts";
import type { Narrator } from "./narrator.ts";
import type { Tokens } from "./oauth-client.ts";
import type { DemoOptions } from "./options.ts";
import { Peer, type PeerPlace } from "./peer.ts";
import { operator, scriptedPerson } from "./person.ts";
import { watchPings, type PingWatch } from "./ping-watch.ts";
import { callTools, connect, PATIENCE_MS, whoAmI, type ToolVisit } from "./tool-visit.ts";

/** On Linux all of 127.0.0.0/8 is this machine: an address that only the peer uses shows that it is passed on. */
const PEER_ADDRESS = "127.0.0.42";

/** TLS alert `unrecognized_name` (RFC 6066 section 3) as Node names it. */
const UNRECOGNIZED_NAME = "ERR_SSL_TLSV1_UNRECOGNIZED_NAME";

/** What to look for afterwards: in the records, in Redis. */
export interface PeerTraces {
  readonly address: string;
  /** Of the OAuth client that was registered. */
  readonly clientId: string;
}

/**
 * Does what a hosted MCP client does: gets a token where one is needed, calls all hosts at once, session-based and stateless, keeps an
 * event stream open on each, refreshes the token. @throws at the first answer that is not as it must be
 */
export async function runAsPeer(
  file: DemoFile,
  options: DemoOptions,
  narrator: Narrator,
): Promise<PeerTraces> {
  const address = (await canListen(PEER_ADDRESS, 0)) ? PEER_ADDRESS : "127.0.0.1";
  const place: PeerPlace = {
    ...file.dispatcher,
    localAddress: address,
    caPem: await readFile(file.ca_file, "utf8"),
  };
  const peer = new Peer(place);
  try {
    const { client, tokens } = await logIn(peer, { file, narrator });
    const run = new PeerRun({ file, options, narrator, peer, address, tokens });
    await run.callAllHosts();
    await callOverIpv6(place, endpointOf(file, firstOpenHost(options)), narrator);
    await callUnknownName(place, narrator);
    narrator.step("Claude refreshes its token, and goes on in the session that is open");
    await run.goOnWith(await client.refresh(tokens));
    await run.awaitPings();
    return { address, clientId: client.id };
  } finally {
    await peer.close();
  }
}

/** At the stand-in a script logs in, and then somebody else to show the difference; at GitHub itself it takes the operator. */
async function logIn(
  peer: Peer,
  { file, narrator }: { file: DemoFile; narrator: Narrator },
): Promise<ClaudeLogin> {
  const endpoint = endpointOf(file, PROTECTED_HOST);
  const tell = (text: string): void => narrator.detail(text);
  const [first, ...others] = file.github.users;
  const person = first === undefined ? await operator(tell) : scriptedPerson(first, peer.fetch, tell);
  try {
    const login = await logInAsClaude(peer.fetch, { endpoint, person, narrator });
    for (const other of others) {
      narrator.step(`The same for ${other}, who is not among oauth_admin_users`);
      const another = scriptedPerson(other, peer.fetch, () => undefined);
      narrator.detail(describeTokens(await logInAnother(login, { endpoint, person: another })));
    }
    return login;
  } finally {
    await person.close();
  }
}

/** The part of the run that keeps sessions and streams open on all hosts. */
class PeerRun {
  readonly #file: DemoFile;
  readonly #options: DemoOptions;
  readonly #narrator: Narrator;
  readonly #peer: Peer;
  readonly #address: string;
  readonly #pings = new Map<string, PingWatch>();
  /** The open session on the protected host; none when its upstream may be no MCP server. */
  #session: Client | undefined;
  #tokens: Tokens;

  constructor(parts: {
    file: DemoFile;
    options: DemoOptions;
    narrator: Narrator;
    peer: Peer;
    address: string;
    tokens: Tokens;
  }) {
    this.#file = parts.file;
    this.#options = parts.options;
    this.#narrator = parts.narrator;
    this.#peer = parts.peer;
    this.#address = parts.address;
    this.#tokens = parts.tokens;
  }

  async callAllHosts(): Promise<void> {
    this.#narrator.step(
      `From ${this.#address} it calls every host at once, session-based and stateless, tools and streams; the token goes to ` +
        `${PROTECTED_HOST.hostname} alone`,
    );
    await Promise.all(
      DEMO_HOSTS.map(async (host) => {
        if (isForeign(host, this.#options)) return await this.#callForeign(host);
        const watch = watchPings();
        this.#pings.set(host.hostname, watch);
        const session = await callTools(this.#peer, { ...this.#visit(host), watch }, this.#narrator);
        if (host === PROTECTED_HOST) this.#session = session;
      }),
    );
  }

  async goOnWith(tokens: Tokens): Promise<void> {
    this.#narrator.detail(describeTokens(tokens));
    if (tokens.accessToken === this.#tokens.accessToken) throw new Error("the access token is the old one");
    this.#tokens = tokens;
    if (this.#session === undefined) return await this.#callForeign(PROTECTED_HOST);
    const told = await whoAmI(this.#session, this.#visit(PROTECTED_HOST));
    this.#narrator.detail(`${PROTECTED_HOST.hostname}: whoami: the upstream saw ${told}`);
  }

  async awaitPings(): Promise<void> {
    const { pingSeconds } = this.#options;
    this.#narrator.step(`The event streams are still open: a ping every ${pingSeconds} s on each`);
    const patience = pingSeconds * 1000 + PATIENCE_MS;
    await Promise.all(
      [...this.#pings].map(async ([hostname, watch]) =>
        this.#narrator.detail(`${hostname}: "${await watch.next(patience)}"`),
      ),
    );
  }

  #visit(host: DemoHost): ToolVisit {
    return {
      url: endpointOf(this.#file, host),
      address: this.#address,
      tokens: host === PROTECTED_HOST ? () => this.#tokens : undefined,
    };
  }

  /** What is behind a replaced upstream is not known, so one answer is shown, whatever it is. */
  async #callForeign(host: DemoHost): Promise<void> {
    const { origin } = endpointOf(this.#file, host);
    const headers: Record<string, string> =
      host === PROTECTED_HOST ? { authorization: `Bearer ${this.#tokens.accessToken}` } : {};
    const response = await this.#peer.fetch(`${origin}/`, { headers });
    this.#narrator.detail(`${origin}/: ${response.status} from the upstream of GATEHOUSE_DEMO_UPSTREAM`);
    await response.body?.cancel();
  }
}

function endpointOf(file: DemoFile, { hostname }: DemoHost): URL {
  const entry = file.hosts[hostname];
  if (entry === undefined) throw new Error(`${hostname} was not started`);
  return new URL("/mcp", entry.origin);
}

function isForeign({ upstream }: DemoHost, { foreignUpstream }: DemoOptions): boolean {
  return upstream === "simple" && foreignUpstream !== undefined;
}

/** The first host with an MCP server that asks for no token. */
function firstOpenHost(options: DemoOptions): DemoHost {
  const host = DEMO_HOSTS.find((one) => one !== PROTECTED_HOST && !isForeign(one, options));
  if (host === undefined) throw new Error("no open host has an MCP server");
  return host;
}

async function callOverIpv6(place: PeerPlace, url: URL, narrator: Narrator): Promise<void> {
  if (await canListen("::1", place.port)) return; // nobody listens there: this machine has no IPv6
  narrator.step("The same over IPv6");
  const peer = new Peer({ host: "::1", port: place.port, caPem: place.caPem });
  try {
    const visit = { url, address: "::1" };
    const told = await whoAmI(await connect(peer, visit, "stateless 2026-07-28"), visit);
    narrator.detail(`${url.hostname}: the upstream saw ${told}`);
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
