// Port 80 of a machine, which its dispatchers inherit from a socket unit of its own.
import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { check, faultless } from "./evidence.ts";
import type { Machine } from "./machine.ts";
import { BRIEF, UNITS } from "./site.ts";
import { Load } from "./traffic.ts";

const SOCKET_UNIT = "gatehouse-dispatcher-http.socket";
const SOME_REQUESTS = 300;
const TOKEN = "t".repeat(43);
const KEY_AUTHORIZATION = `${TOKEN}.${"k".repeat(43)}`;
const CHALLENGE = { type: "http-01", token: TOKEN, key_authorization: KEY_AUTHORIZATION };

interface PlainAnswer {
  readonly status: number | undefined;
  readonly location: string | undefined;
  readonly text: string;
}

/** @throws what a client sees: ECONNREFUSED, ECONNRESET */
async function askPlain(host: string, path: string): Promise<PlainAnswer> {
  const asked = get({ host: "127.0.0.1", port: 80, path, headers: { host }, agent: false });
  const [response] = (await once(asked, "response")) as [IncomingMessage];
  let text = "";
  for await (const chunk of response) text += String(chunk);
  return { status: response.statusCode, location: response.headers.location, text };
}

/** An authority's question, a browser's, and one for a name that is not here. */
export async function plainPortAnswers(machine: Machine, redisPassword: string): Promise<string> {
  const [key, value] = [`acme:challenge:${BRIEF}`, JSON.stringify(CHALLENGE)];
  await machine.must("redis-cli", "--no-auth-warning", "-a", redisPassword, "SET", key, value, "EX", "60");
  const proof = await askPlain(BRIEF, `/.well-known/acme-challenge/${TOKEN}`);
  check(proof.status === 200 && proof.text === KEY_AUTHORIZATION, `the challenge: ${JSON.stringify(proof)}`);
  const sent = await askPlain(BRIEF, "/mcp?x=1");
  check(sent.status === 308 && sent.location === `https://${BRIEF}/mcp?x=1`, `sent: ${JSON.stringify(sent)}`);
  const unknown = await askPlain("nobody-here.example", "/");
  check(unknown.status === 404, `an unknown name: ${unknown.status}`);
  return `HTTP-01 answered, 308 to ${sent.location}, 404 for a name without a route`;
}

/** Nobody on port 80 is refused either while one dispatcher follows another. */
export async function plainPortUpgrade(machine: Machine): Promise<string> {
  const load = new Load(async () => {
    const { status } = await askPlain(BRIEF, "/");
    check(status === 308, `status ${status}`);
  });
  await load.more(SOME_REQUESTS);
  await machine.must(UNITS, "next", "dispatcher");
  await load.more(SOME_REQUESTS);
  return faultless(await load.stop());
}

/** As docs/operations.md has it for a machine whose port 80 is to stay closed. */
export async function plainPortClosed(machine: Machine): Promise<string> {
  await machine.must("touch", "/etc/gatehouse/no-http");
  await machine.must("systemctl", "stop", SOCKET_UNIT);
  await machine.must(UNITS, "next", "dispatcher");
  const state = await machine.property(SOCKET_UNIT, "ActiveState");
  check(state === "inactive", `the socket is ${state}`);
  const isFree = async (): Promise<boolean> => (await machine.must("ss", "-Hlnt", "sport = :80")) === "";
  await machine.until("nobody listens on port 80", isFree);
  return "no-http, socket stopped, next dispatcher: nobody listens on 80";
}
