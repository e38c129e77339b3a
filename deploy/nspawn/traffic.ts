import { createServer, type IncomingMessage, type Server } from "node:http";
import { get, type Agent } from "node:https";
import { setTimeout as delay } from "node:timers/promises";
import type { TLSSocket } from "node:tls";

/** Milliseconds between two events of a stream. */
const EVENT_MS = 100;
/** A load that nobody ends stops by itself. */
const MAX_REQUESTS = 40_000;
const MAX_LOAD_MS = 120_000;
/** What a request may take while a socket unit holds it. */
const REQUEST_TIMEOUT_MS = 30_000;
/** Milliseconds between two requests of one worker, so that the load leaves a core to what it is a load on. */
const PAUSE_MS = 10;

/** Whom to ask, by way of the public port of this network namespace. */
export interface Peer {
  readonly hostname: string;
  readonly ca: string;
}

/** Starts what instances forward to: `/events` counts in an event stream, everything else says hello. */
export async function startUpstream(port: number): Promise<Server> {
  const server = createServer((request, response) => {
    if (request.url !== "/events") return void response.end("hello");
    response.writeHead(200, { "content-type": "text/event-stream" });
    let count = 0;
    const timer = setInterval(() => response.write(`data: ${count++}\n\n`), EVENT_MS);
    response.once("close", () => clearInterval(timer));
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return server;
}

function options({ hostname, ca }: Peer, path: string, agent: Agent | false) {
  const headers = { host: hostname };
  return { host: "127.0.0.1", port: 443, servername: hostname, headers, path, ca, agent } as const;
}

/** Asks once; resolves when the answer has ended. @throws what a client sees: ECONNREFUSED, ECONNRESET, a status that is not 200 */
export function ask(peer: Peer, agent: Agent | false = false): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = get(options(peer, "/hello", agent), (response: IncomingMessage) => {
      response.resume();
      response.once("error", reject).once("end", () => {
        if (response.statusCode === 200) resolve();
        else reject(new Error(`status ${response.statusCode}`));
      });
    });
    const late = (): void => void request.destroy(new Error("no answer in time"));
    request.setTimeout(REQUEST_TIMEOUT_MS, late).once("error", reject);
  });
}

/** Returns the serial number of the certificate that a new connection is shown. */
export function shownCertificate(peer: Peer): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(options(peer, "/hello", false), (response) => {
      resolve((response.socket as TLSSocket).getPeerCertificate().serialNumber);
      response.resume();
    });
    request.once("error", reject);
  });
}

/** What became of a load. */
export interface LoadResult {
  readonly answered: number;
  /** How often each failure was seen. */
  readonly failures: ReadonlyMap<string, number>;
  readonly longestMs: number;
}

/** Many peers at once, each with a new connection per request. */
export class Load {
  readonly #ask: () => Promise<void>;
  readonly #failures = new Map<string, number>();
  readonly #workers: Promise<void>[];
  readonly #deadline = performance.now() + MAX_LOAD_MS;
  #isOver = false;
  #begun = 0;
  #answered = 0;
  #longestMs = 0;

  /** Asks a peer's question, or one of the caller's own, which rejects when it fails. */
  constructor(asked: Peer | (() => Promise<void>), workers = 8) {
    this.#ask = typeof asked === "function" ? asked : () => ask(asked);
    this.#workers = Array.from({ length: workers }, () => this.#work());
  }

  get answered(): number {
    return this.#answered;
  }

  get failed(): number {
    return [...this.#failures.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Resolves when `count` more requests have been answered. */
  async more(count: number): Promise<void> {
    const goal = this.#answered + count;
    while (this.#answered < goal && performance.now() < this.#deadline) await delay(PAUSE_MS);
  }

  async stop(): Promise<LoadResult> {
    this.#isOver = true;
    await Promise.all(this.#workers);
    return { answered: this.#answered, failures: this.#failures, longestMs: Math.round(this.#longestMs) };
  }

  async #work(): Promise<void> {
    while (!this.#isOver && this.#begun < MAX_REQUESTS && performance.now() < this.#deadline) {
      this.#begun++;
      const since = performance.now();
      try {
        await this.#ask();
        this.#answered++;
      } catch (error) {
        const why = (error as NodeJS.ErrnoException).code ?? String(error);
        this.#failures.set(why, (this.#failures.get(why) ?? 0) + 1);
      }
      this.#longestMs = Math.max(this.#longestMs, performance.now() - since);
      await delay(PAUSE_MS);
    }
  }
}

/** One event stream and what became of it. */
export class EventStream {
  #events = 0;
  #gaps = 0;
  #end: string | undefined;
  readonly #close: () => void;

  constructor(peer: Peer) {
    const request = get(options(peer, "/events", false), (response) => {
      let rest = "";
      response.setEncoding("utf8").on("data", (text: string) => {
        const parts = (rest + text).split("\n\n");
        rest = parts.pop() ?? "";
        for (const part of parts) {
          if (part !== `data: ${this.#events}`) this.#gaps++;
          this.#events++;
        }
      });
      // `complete` is false when the connection broke before the last chunk.
      response.once("close", () => (this.#end ??= response.complete ? "ended in order" : "broken"));
      response.once("error", (error) => (this.#end ??= `broken: ${error.message}`));
    });
    request.once("error", (error) => (this.#end ??= `broken: ${error.message}`));
    this.#close = () => request.destroy();
  }

  get events(): number {
    return this.#events;
  }

  /** Events that are missing or out of place. */
  get gaps(): number {
    return this.#gaps;
  }

  /** Undefined while it runs. */
  get end(): string | undefined {
    return this.#end;
  }

  /** Resolves when `count` more events have come. @throws when it ends before */
  async more(count: number): Promise<void> {
    const goal = this.#events + count;
    const deadline = performance.now() + REQUEST_TIMEOUT_MS;
    while (this.#events < goal) {
      if (this.#end !== undefined)
        throw new Error(`the stream has ${this.#end} after ${this.#events} events`);
      if (performance.now() > deadline) throw new Error(`the stream is silent after ${this.#events} events`);
      await delay(EVENT_MS / 2);
    }
  }

  close(): void {
    this.#close();
  }
}
