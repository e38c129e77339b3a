import type { IncomingMessage } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { openStream } from "../test/support/https-peer.ts";
import type { Attempts } from "./attempts.ts";
import { HOSTS, PROTECTED, type Bed, type Host } from "./bed.ts";
import type { Session } from "./session.ts";

const STREAMS_PER_HOST = 10;
export const STREAMS: number = STREAMS_PER_HOST * HOSTS.length;
const EVENT_INTERVAL_MS = 200;
/** Without an event for so long a stream stands still. */
const STILL_MS = 1_000;
/** As an EventSource does, only sooner. */
const REOPEN_DELAY_MS = 200;

/** Event streams that are held open and opened again when they end. */
export class Streams {
  readonly #bed: Bed;
  readonly #attempts: Attempts;
  readonly #session: Session;
  readonly #stopping = new AbortController();
  readonly #holders: Promise<void>[] = [];
  /** When streams ended that nobody closed, by host. */
  readonly ended: { readonly host: Host; readonly at: number }[] = [];
  /** When the last event came, of each that is open. */
  readonly #lastEvents = new Map<IncomingMessage, number>();
  /** When streams went on that had stood still. */
  readonly #wentOn: number[] = [];

  private constructor(bed: Bed, attempts: Attempts, session: Session) {
    this.#bed = bed;
    this.#attempts = attempts;
    this.#session = session;
  }

  /** Resolves when all are open. */
  static async start(bed: Bed, attempts: Attempts, session: Session): Promise<Streams> {
    const streams = new Streams(bed, attempts, session);
    const first = HOSTS.flatMap((host) =>
      Array.from({ length: STREAMS_PER_HOST }, async () => {
        const stream = await streams.#openOne(host);
        streams.#holders.push(streams.#hold(host, stream));
      }),
    );
    await Promise.all(first);
    return streams;
  }

  get open(): number {
    return this.#lastEvents.size;
  }

  /** Whether a stream that is open stands still. */
  get isStill(): boolean {
    const now = performance.now();
    return [...this.#lastEvents.values()].some((last) => now - last > STILL_MS);
  }

  /** Until when a stream stood still, of all that were open after `since`; `since` when none did. */
  stillUntil(since: number): number {
    return this.isStill ? performance.now() : Math.max(since, ...this.#wentOn);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#holders);
  }

  async #hold(host: Host, first: IncomingMessage): Promise<void> {
    const { signal } = this.#stopping;
    let stream: IncomingMessage | undefined = first;
    while (!signal.aborted) {
      if (stream !== undefined) {
        await this.#untilClosed(stream);
        if (signal.aborted) return;
        this.ended.push({ host, at: performance.now() });
        this.#attempts.fail("streams", "ended");
      }
      await delay(REOPEN_DELAY_MS);
      stream = await this.#attempts.make("streams", () => this.#openOne(host));
      // One that opened after its time is nobody's: it ends with the bed.
    }
    stream?.destroy();
  }

  async #untilClosed(stream: IncomingMessage): Promise<void> {
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    const { signal } = this.#stopping;
    const leave = (): void => void stream.destroy();
    signal.addEventListener("abort", leave, { once: true });
    this.#lastEvents.set(stream, performance.now());
    stream.once("close", resolve).on("data", () => this.#sawEvent(stream));
    if (stream.closed) resolve();
    await closed;
    this.#lastEvents.delete(stream);
    signal.removeEventListener("abort", leave);
  }

  #sawEvent(stream: IncomingMessage): void {
    const now = performance.now();
    if (now - (this.#lastEvents.get(stream) ?? now) > STILL_MS) this.#wentOn.push(now);
    this.#lastEvents.set(stream, now);
  }

  async #openOne(host: Host): Promise<IncomingMessage> {
    const { gatehouse } = this.#bed;
    const path = `/stream?name=held&interval_ms=${EVENT_INTERVAL_MS}`;
    let opened: IncomingMessage | undefined;
    const open = async (headers: Record<string, string>): Promise<number> => {
      opened = await openStream(gatehouse, { hostname: host, path, headers });
      if (opened.statusCode !== 200) opened.destroy();
      return opened.statusCode ?? 0;
    };
    if (host === PROTECTED) await this.#session.ask(open);
    else {
      const status = await open({});
      if (status !== 200) throw new Error(String(status));
    }
    if (opened === undefined) throw new Error("no stream");
    return opened;
  }
}
