// A flood in a process of its own: so many hostile connections, evenly over so many seconds, each held until it is ended or the flood is over. Ends by itself.
import { attack, captureHellos, SEQUENCE, type HostileKind } from "./hostile.ts";

/** What the flood is told, as its argument in JSON. */
export interface FloodOrder {
  readonly port: number;
  readonly hostname: string;
  readonly connections: number;
  readonly seconds: number;
  /** Addresses it comes from, in turn. */
  readonly addresses: readonly string[];
  /** Open at once at most: the descriptors of this process. */
  readonly maxOpen: number;
}

/** What it prints in JSON when it is over. */
export interface FloodReport {
  readonly made: number;
  readonly connected: number;
  readonly mostOpen: number;
  readonly seconds: number;
  /** Ended from the other side before the flood was over, by kind. */
  readonly ended: Readonly<Partial<Record<HostileKind, number>>>;
}

const TICK_MS = 20;
/** Whatever happens, there is no flood any more after that much of its time. */
const LATEST = 3;

const order = JSON.parse(process.argv[2] ?? "") as FloodOrder;
const hellos = await captureHellos(order.hostname);
const open = new Set<ReturnType<typeof attack>>();
const ended: Partial<Record<HostileKind, number>> = {};
let made = 0;
let connected = 0;
let mostOpen = 0;
const startedAt = performance.now();

function one(): void {
  const kind = SEQUENCE[made % SEQUENCE.length] ?? "silent";
  // Not in step with the kinds, or an address would have one kind only.
  const address = order.addresses[Math.floor(made / SEQUENCE.length) % order.addresses.length] ?? "";
  made += 1;
  const socket = attack(kind, address, { ...order, hellos });
  open.add(socket);
  mostOpen = Math.max(mostOpen, open.size);
  socket
    .on("error", () => undefined)
    .once("connect", () => (connected += 1))
    .once("secureConnect", () => (connected += 1))
    .once("close", () => {
      open.delete(socket);
      ended[kind] = (ended[kind] ?? 0) + 1;
    })
    .resume();
}

const timer = setInterval(() => {
  const elapsed = (performance.now() - startedAt) / 1000;
  const due = Math.min(order.connections, Math.ceil((elapsed / order.seconds) * order.connections));
  while (made < due && open.size < order.maxOpen) one();
  if (made >= order.connections || elapsed > LATEST * order.seconds) finish(elapsed);
}, TICK_MS);

function finish(seconds: number): void {
  clearInterval(timer);
  const report: FloodReport = { made, connected, mostOpen, seconds, ended: { ...ended } };
  process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0));
}
