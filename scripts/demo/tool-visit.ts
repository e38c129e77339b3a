import type { Client } from "@modelcontextprotocol/client";
import type { Narrator } from "./narrator.ts";
import type { Tokens } from "./oauth-client.ts";
import { REVISIONS, type Peer, type Revision } from "./peer.ts";
import type { PingWatch } from "./ping-watch.ts";

const TOOL_STEPS = 5;

/** Time for what should take no time, on a machine with every core busy. */
export const PATIENCE_MS = 30_000;

/** What the upstream of a protected host is told and nobody else may tell it. */
const IDENTITY = /^(?:x-auth-.*|authorization)$/;

/** One host as a peer sees it. */
export interface ToolVisit {
  readonly url: URL;
  /** The peer's own address, which the upstream must be told. */
  readonly address: string;
  /** The tokens of the moment, on a protected host. */
  readonly tokens?: (() => Tokens) | undefined;
  readonly watch?: PingWatch;
}

/** Uses the tools of a host in both revisions; returns the session-based client, whose GET stream is the one that carries pings. */
export async function callTools(peer: Peer, visit: ToolVisit, narrator: Narrator): Promise<Client> {
  const clients = new Map<Revision, Client>();
  for (const revision of Object.keys(REVISIONS) as Revision[]) {
    const client = await connect(peer, visit, revision);
    clients.set(revision, client);
    const { tools } = await client.listTools();
    const told = await whoAmI(client, visit);
    const progress = await countSteps(client);
    narrator.detail(
      `${visit.url.hostname}, ${revision}: ${tools.length} tools (${tools.map(({ name }) => name).join(", ")})\n` +
        `   whoami: the upstream saw ${told}\n` +
        `   count: ${progress} progress events, one by one, before the result`,
    );
  }
  await clients.get("stateless 2026-07-28")?.close();
  const open = clients.get("session-based");
  if (open === undefined) throw new Error("there is no session-based revision");
  return open;
}

/** Connects an MCP client; its token is looked up at each request, as it is after a refresh. */
export async function connect(peer: Peer, visit: ToolVisit, revision: Revision): Promise<Client> {
  const { url, watch, tokens } = visit;
  const token = tokens && ((): string => tokens().accessToken);
  return await peer.mcpClient(url, revision, { watch: watch?.observe, token });
}

/** Returns what the MCP server was told about the caller, in words. @throws when that is not what it must be told */
export async function whoAmI(client: Client, { url, address, tokens }: ToolVisit): Promise<string> {
  const { headers } = JSON.parse(await firstText(client, "whoami")) as { headers: Record<string, string> };
  const forwardedFor = headers["x-forwarded-for"];
  if (forwardedFor !== address)
    throw new Error(`${url.href}: the upstream was told ${forwardedFor}, the peer is ${address}`);
  const identity = Object.keys(headers).filter((name) => IDENTITY.test(name));
  const claims = tokens?.().claims;
  const isRight =
    claims === undefined
      ? identity.length === 0
      : !identity.includes("authorization") &&
        headers["x-auth-user"] === claims.sub &&
        headers["x-auth-scopes"] === claims.scope;
  if (!isRight) throw new Error(`${url.href}: the upstream was told ${identity.join(", ") || "no identity"}`);
  const show = (...names: string[]): string =>
    names.map((name) => `${name} ${headers[name.toLowerCase()] ?? "(absent)"}`).join(", ");
  const place = show("X-Forwarded-For", "X-Forwarded-Host", "X-Request-Id");
  if (claims === undefined) return `${place}, no X-Auth-…`;
  return `${place},\n      ${show("X-Auth-User", "X-Auth-Scopes", "X-Auth-Email", "X-Auth-Client")}`;
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
