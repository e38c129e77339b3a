import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { Agent } from "node:https";
import { setTimeout as delay } from "node:timers/promises";
import { WebSocket } from "ws";
import { Claude } from "../test/support/claude.ts";
import { exchange, openStream, type PeerRequest } from "../test/support/https-peer.ts";
import { until } from "@gatehouse/testbed/until";
import { OPEN, PROTECTED, RESTARTED, SOCKETS, type SoakBed } from "./bed.ts";
import type { Count } from "./state.ts";

/** Nothing here takes longer on a busy machine. */
const PATIENCE_MS = 20_000;
const UPLOAD = randomBytes(256 * 1024).toString("base64");
const UPLOAD_SHA256 = createHash("sha256").update(UPLOAD).digest("hex");
const DOWNLOAD_BYTES = 4 * 1024 * 1024;
const STREAM_MS = 3000;

/** Kinds of traffic: what they do, how many at once, with what pause, and what they need beside the dispatcher. */
interface Kind {
  readonly name: string;
  readonly hostname: string;
  readonly parallel: number;
  readonly pauseMs: number;
  readonly work: () => Promise<unknown>;
}

/** Everything that people do, all the time, until it is stopped. */
export class Traffic {
  readonly #bed: SoakBed;
  readonly #counts = new Map<string, { tried: number; failed: number; interrupted: number }>();
  readonly #problems = new Map<string, number>();
  readonly #stopping = new AbortController();
  readonly #loops: Promise<void>[];
  readonly #agents = Array.from({ length: 4 }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
  /** Who stays logged in. */
  readonly #session: { readonly claude: Claude; access: string; refresh: string };
  /** Roles that are being restarted, and how often one was. */
  readonly #down = new Set<string>();
  #restarts = 0;
  #turn = 0;

  private constructor(bed: SoakBed, session: { claude: Claude; access: string; refresh: string }) {
    this.#bed = bed;
    this.#session = session;
    this.#loops = this.#kinds().flatMap((kind) =>
      Array.from({ length: kind.parallel }, () => this.#repeat(kind)),
    );
  }

  static async start(bed: SoakBed): Promise<Traffic> {
    // A process that has just been made to collect all its garbage again and again may have lost the patience of its Redis client.
    return new Traffic(
      bed,
      await until(
        () => logIn(bed),
        () => true,
      ),
    );
  }

  get counts(): Readonly<Record<string, Count>> {
    return Object.fromEntries(this.#counts);
  }

  /** What failed outside of restarts, in words. */
  get problems(): readonly string[] {
    return [...this.#problems].map(([problem, count]) => `${count} x ${problem}`);
  }

  /** Does something that takes a process away; who needs it meanwhile may fail. */
  async interrupt(role: string, work: () => Promise<void>): Promise<void> {
    this.#restarts += 1;
    this.#down.add(role);
    await work().finally(() => this.#down.delete(role));
    this.#restarts += 1;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#loops);
    for (const agent of this.#agents) agent.destroy();
  }

  #kinds(): readonly Kind[] {
    const get = (hostname: string) => async () =>
      expectStatus(await this.#exchange({ hostname, path: "/hello" }));
    return [
      { name: "open requests", hostname: OPEN, parallel: 2, pauseMs: 200, work: get(OPEN) },
      {
        name: "requests of the restarted host",
        hostname: RESTARTED,
        parallel: 1,
        pauseMs: 200,
        work: get(RESTARTED),
      },
      {
        name: "protected requests",
        hostname: PROTECTED,
        parallel: 4,
        pauseMs: 200,
        work: () => this.#protected(),
      },
      {
        name: "registrations and logins",
        hostname: PROTECTED,
        parallel: 1,
        pauseMs: 1500,
        work: () => this.#logIn(),
      },
      { name: "refreshes", hostname: PROTECTED, parallel: 1, pauseMs: 1000, work: () => this.#refresh() },
      { name: "event streams", hostname: PROTECTED, parallel: 8, pauseMs: 200, work: () => this.#stream() },
      { name: "uploads", hostname: OPEN, parallel: 1, pauseMs: 700, work: () => this.#upload() },
      { name: "downloads", hostname: OPEN, parallel: 1, pauseMs: 700, work: () => this.#download() },
      { name: "WebSockets", hostname: SOCKETS, parallel: 2, pauseMs: 500, work: () => this.#socket() },
      {
        name: "refused tokens",
        hostname: PROTECTED,
        parallel: 1,
        pauseMs: 1000,
        work: () => this.#wrongToken(),
      },
    ];
  }

  async #repeat(kind: Kind): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      await this.#attempt(kind);
      await delay(kind.pauseMs);
    }
  }

  async #attempt({ name, hostname, work }: Kind): Promise<void> {
    const count = this.#counts.get(name) ?? { tried: 0, failed: 0, interrupted: 0 };
    this.#counts.set(name, count);
    count.tried += 1;
    const isDown = (): boolean => this.#down.has("dispatcher") || this.#down.has(hostname);
    const wasDown = isDown();
    const before = this.#restarts;
    try {
      await work();
    } catch (error) {
      // A process that went away and came back within the attempt is one that it needed, or nearly so.
      if (wasDown || isDown() || this.#restarts !== before) count.interrupted += 1;
      else {
        count.failed += 1;
        const problem = `${name}: ${problemOf(error)}`;
        this.#problems.set(problem, (this.#problems.get(problem) ?? 0) + 1);
      }
    }
  }

  async #exchange(request: PeerRequest) {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    return await exchange(this.#bed.gatehouse, { ...request, signal });
  }

  get #headers(): Record<string, string> {
    return { authorization: `Bearer ${this.#session.access}` };
  }

  async #protected(): Promise<void> {
    const agent = this.#agents[(this.#turn += 1) % this.#agents.length];
    const request = { hostname: PROTECTED, path: "/hello", headers: this.#headers };
    expectStatus(await this.#exchange({ ...request, ...(agent && { agent }) }));
  }

  async #logIn(): Promise<void> {
    const { claude, access, refresh } = await logIn(this.#bed);
    const { status } = await claude.refresh(refresh);
    if (status !== 200) throw new Error(`refresh: ${status}`);
    const revoked = await claude.revoke(access);
    if (revoked !== 200) throw new Error(`revoke: ${revoked}`);
  }

  /** Tokens live for less than a run, and a grant too: when it is over, the person logs in again. */
  async #refresh(): Promise<void> {
    const tokens = await this.#session.claude.refresh(this.#session.refresh);
    if (tokens.status === 200) {
      Object.assign(this.#session, { access: tokens.access_token, refresh: tokens.refresh_token });
    } else if (tokens.error === "invalid_grant") Object.assign(this.#session, await logIn(this.#bed));
    else throw new Error(`${tokens.status} ${tokens.error}`);
  }

  async #stream(): Promise<void> {
    const path = `/stream?interval_ms=100&name=soak`;
    const stream = await openStream(this.#bed.gatehouse, {
      hostname: PROTECTED,
      path,
      headers: this.#headers,
    });
    if (stream.statusCode !== 200) throw new Error(String(stream.statusCode));
    const closed = once(stream, "close");
    stream.on("error", () => undefined).resume();
    await Promise.race([closed, delay(STREAM_MS)]);
    if (stream.closed) throw new Error("ended");
    stream.destroy();
    await closed;
  }

  async #upload(): Promise<void> {
    const request = { hostname: OPEN, path: "/upload", method: "POST", body: UPLOAD };
    const { body } = expectStatus(await this.#exchange(request));
    if (!body.includes(UPLOAD_SHA256)) throw new Error("arrived changed");
  }

  async #download(): Promise<void> {
    const path = `/download?bytes=${DOWNLOAD_BYTES}`;
    const { headers } = expectStatus(await this.#exchange({ hostname: OPEN, path }));
    if (headers["content-length"] !== String(DOWNLOAD_BYTES)) throw new Error("of another length");
  }

  async #socket(): Promise<void> {
    const { port, caPem } = this.#bed.gatehouse;
    const agent = new Agent({
      ca: caPem,
      servername: SOCKETS,
      lookup: (_name, _options, found) => found(null, [{ address: "127.0.0.1", family: 4 }]),
    });
    const socket = new WebSocket(`wss://${SOCKETS}:${port}/`, { agent, handshakeTimeout: PATIENCE_MS });
    const { promise: failed, reject } = Promise.withResolvers<never>();
    failed.catch(() => undefined);
    socket.on("error", reject).once("close", () => reject(new Error("closed")));
    try {
      await Promise.race([once(socket, "open"), failed]);
      for (let message = 0; message < 10; message += 1) {
        socket.send(`message ${message}`);
        const [echo] = (await Promise.race([once(socket, "message"), failed])) as [Buffer];
        if (echo.toString() !== `message ${message}`) throw new Error("another message");
        await delay(100);
      }
    } finally {
      socket.terminate();
      agent.destroy();
    }
  }

  async #wrongToken(): Promise<void> {
    const headers = { authorization: `Bearer ${randomBytes(32).toString("base64url")}` };
    const { status } = await this.#exchange({ hostname: PROTECTED, path: "/hello", headers });
    if (status !== 401) throw new Error(String(status));
  }
}

async function logIn(bed: SoakBed): Promise<{ claude: Claude; access: string; refresh: string }> {
  const claude = new Claude(bed.hosts.fetch, bed.origin);
  await claude.register();
  const tokens = await claude.authorize(async (url) => await bed.hosts.logIn(url, "octocat"));
  if (tokens.status !== 200) throw new Error(`${tokens.status} ${tokens.error}`);
  return { claude, access: tokens.access_token, refresh: tokens.refresh_token };
}

function expectStatus<T extends { readonly status: number }>(answer: T): T {
  if (answer.status !== 200) throw new Error(String(answer.status));
  return answer;
}

function problemOf(error: unknown): string {
  const { cause } = error as { cause?: unknown };
  const { code, message, reason } = (cause ?? error) as NodeJS.ErrnoException & { reason?: string };
  // A TLS alert is told from others by its reason only.
  return (reason ?? code ?? message).slice(0, 100);
}
