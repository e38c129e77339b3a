// Honest traffic in a process of its own, at a fixed rate whether the last request is answered or not. Each line of stdin names the phase that begins; the end of
// stdin ends it, and what was measured is printed in JSON, by phase.
import { Agent, request } from "node:https";
import { createInterface } from "node:readline";
import { connect as connectTls } from "node:tls";
import { HONEST_KINDS, type HonestKind, type HonestOrder, type Measured } from "./honest.ts";

/** A second: well below what one core can do, so that what is missed is missed for the flood. */
const RATES: Readonly<Record<HonestKind, number>> = { "new connections": 20, "kept connections": 60 };
const KEPT = 10;
const STREAMS = 10;
/** Who waits longer has gone. */
const PATIENCE_MS = 5000;

interface Samples {
  sent: number;
  readonly times: number[];
}

const order = JSON.parse(process.argv[2] ?? "") as HonestOrder;
const phases = new Map<string, Record<HonestKind, Samples>>();
let phase: Record<HonestKind, Samples> | undefined;
const agents = Array.from({ length: KEPT }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
let turn = 0;
let streamsEnded = 0;
const failures = new Map<string, number>();

const { port, hostname, caPem: ca, token, localAddress } = order;
const base = {
  host: "127.0.0.1",
  port,
  servername: hostname,
  ca,
  localAddress,
  headers: { host: `${hostname}:${port}`, authorization: `Bearer ${token}` },
};

/** Resolves when it was answered with 200. */
async function ask(path: string, agent: Agent | false): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // Without a session that is resumed: somebody new has none.
  const fresh = agent === false ? { createConnection: () => connectTls(base) } : { agent };
  const asked = request({ ...base, path, ...fresh, signal: AbortSignal.timeout(PATIENCE_MS) }, (response) => {
    response
      .on("error", reject)
      .on("end", () =>
        response.statusCode === 200 ? resolve() : reject(new Error(String(response.statusCode))),
      )
      .resume();
  });
  asked.on("error", reject).end();
  await promise;
  if (agent === false) asked.destroy();
}

async function measure(kind: HonestKind, dueAt: number): Promise<void> {
  const samples = phase?.[kind];
  if (samples !== undefined) samples.sent += 1;
  const agent = kind === "kept connections" ? agents[(turn += 1) % KEPT] : undefined;
  try {
    await ask("/hello", agent ?? false);
    samples?.times.push(performance.now() - dueAt);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = `${kind}: ${code ?? message}`;
    failures.set(why, (failures.get(why) ?? 0) + 1);
  }
}

/** By the clock, so that a timer that comes late makes up for it: what was due and not sent counts as waiting. */
function pace(kind: HonestKind): NodeJS.Timeout {
  const intervalMs = 1000 / RATES[kind];
  let dueAt = performance.now();
  return setInterval(() => {
    for (const now = performance.now(); dueAt <= now; dueAt += intervalMs) void measure(kind, dueAt);
  }, 5);
}

function openStream(): void {
  const agent = new Agent({ keepAlive: false });
  const asked = request({ ...base, path: "/stream?interval_ms=1000&name=honest", agent }, (response) => {
    response
      .on("error", () => undefined)
      .on("close", () => (streamsEnded += 1))
      .resume();
  });
  asked.on("error", () => undefined).end();
}

function summary({ sent, times }: Samples): Measured {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
  return { sent, answered: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) };
}

for (let count = 0; count < STREAMS; count += 1) openStream();
const timers = HONEST_KINDS.map(pace);
for await (const name of createInterface({ input: process.stdin })) {
  phase = { "new connections": { sent: 0, times: [] }, "kept connections": { sent: 0, times: [] } };
  phases.set(name, phase);
}
for (const timer of timers) clearInterval(timer);
const ended = streamsEnded;
// What is under way has its time.
await new Promise((resolve) => setTimeout(resolve, PATIENCE_MS));
const measured = [...phases].map(([name, kinds]) => [
  name,
  Object.fromEntries(HONEST_KINDS.map((kind) => [kind, summary(kinds[kind])])),
]);
for (const [why, count] of failures) process.stderr.write(`        ${count} x ${why}\n`);
const report = { phases: Object.fromEntries(measured), streams: { open: STREAMS, ended } };
process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0));
