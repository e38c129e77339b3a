import { formatTarget, type Target } from "@gatehouse/shared/route";
import { usableSocketPath } from "@gatehouse/shared/listen-address";
import { lookup } from "node:dns/promises";
import { connect, isIP, type NetConnectOpts, type OnReadOpts, type Socket } from "node:net";
import type { OwnAddresses } from "./own-addresses.ts";
import { ConnectionRefusal } from "./refusal.ts";
import type { TargetPool } from "./target-pool.ts";

/** Milliseconds before the first round of retries, doubled after each up to the second. */
const FIRST_PAUSE_MS = 25;
const LONGEST_PAUSE_MS = 400;

/** Where to search and for how long. */
export interface DialOptions {
  readonly targets: readonly Target[];
  readonly pool: Pick<TargetPool, "order" | "opened" | "failed" | "succeeded">;
  readonly ownAddresses: Pick<OwnAddresses, "has">;
  /** How the new socket is read, see {@link OnReadOpts}. */
  readonly onread: OnReadOpts;
  /** Milliseconds for all attempts together. */
  readonly budgetMs: number;
  /** Milliseconds of quiet before TCP keepalive probes start. */
  readonly keepAliveDelayMs: number;
  /** Called before each round of retries; throws when nobody waits for an answer any more. */
  readonly beforeRetry: () => void;
}

/** A connected target; nothing has been sent to it. */
export interface Dialled {
  readonly socket: Socket;
  readonly target: Target;
  /** Tells the pool that the connection has ended. Call once. */
  readonly release: () => void;
}

/** What ends a step: the first call counts. */
type Settle<T> = Pick<PromiseWithResolvers<T>, "resolve" | "reject">;

type Endpoint = { readonly path: string } | { readonly host: string; readonly port: number };

/**
 * One search for a target that answers: the pool's order, each resolved address in turn, all again after a pause until the budget is
 * spent. Nothing has been sent to a target that is given up, so trying the next can't do anything twice.
 */
export class Dial {
  readonly #options: DialOptions;
  readonly #deadline: number;
  #cancelled: Error | undefined;
  #abandon: ((reason: Error) => void) | undefined;

  constructor(options: DialOptions) {
    this.#options = options;
    this.#deadline = performance.now() + options.budgetMs;
  }

  /** Ends the search at once; {@link run} throws the reason. Does nothing after it has settled. */
  cancel(reason: Error): void {
    this.#cancelled = reason;
    this.#abandon?.(reason);
  }

  /**
   * Returns the first target that accepts.
   * @throws {ConnectionRefusal} `target_down` when the budget is spent, `loop` when every target is a listener of ours; the reason of {@link cancel}
   */
  async run(): Promise<Dialled> {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      const round = await this.#tryAll();
      if (!(round instanceof Error)) return round;
      if (round instanceof ConnectionRefusal) throw round;
      if (this.#leftMs() <= pauseMs) throw new ConnectionRefusal("target_down", round.message);
      await this.#pause(pauseMs);
      this.#options.beforeRetry();
    }
  }

  /** Tries every target once; returns the last error when none answers, a refusal when none may be dialled. */
  async #tryAll(): Promise<Dialled | Error> {
    const targets = this.#options.pool.order(this.#options.targets);
    let last: Error | undefined;
    for (const [index, target] of targets.entries()) {
      // A target that swallows our packets may use up only its share, so that the next one gets a chance.
      const shareMs = this.#leftMs() / (targets.length - index);
      if (shareMs < 1) break;
      const dialled = await this.#tryTarget(target, shareMs);
      if (!(dialled instanceof Error)) return dialled;
      if (!(dialled instanceof ConnectionRefusal)) last = dialled;
    }
    return last ?? new ConnectionRefusal("loop", "every target is a listener of this dispatcher");
  }

  /** The pool counts the attempt from its start: connections that arrive together must not all choose the same target. */
  async #tryTarget(target: Target, shareMs: number): Promise<Dialled | Error> {
    const { pool } = this.#options;
    const release = pool.opened(target);
    try {
      const socket = await this.#connectTo(target, performance.now() + shareMs);
      pool.succeeded(target);
      return { socket, target, release };
    } catch (error) {
      release();
      if (this.#cancelled) throw this.#cancelled;
      const failure = asError(error);
      if (!(failure instanceof ConnectionRefusal)) pool.failed(target, failure);
      return failure;
    }
  }

  /** Tries each address of a target in turn until its deadline. */
  async #connectTo(target: Target, deadline: number): Promise<Socket> {
    const endpoints =
      knownEndpoints(target) ??
      (await this.#within<readonly Endpoint[]>(deadline, target, ({ resolve, reject }) => {
        resolveName(target).then(resolve, reject);
      }));
    let last: Error | undefined;
    for (const endpoint of endpoints) {
      if ("port" in endpoint && this.#options.ownAddresses.has(endpoint.host, endpoint.port)) {
        throw new ConnectionRefusal("loop", `${formatTarget(target)} is a listener of this dispatcher`);
      }
      try {
        return await this.#within<Socket>(deadline, target, (settle) => this.#open(endpoint, settle));
      } catch (error) {
        if (this.#cancelled) throw error;
        last = asError(error);
      }
    }
    throw last ?? new Error(`${formatTarget(target)} has no address`);
  }

  /** Begins to connect. The peer's end must not close the target's direction, hence half-open. */
  #open(endpoint: Endpoint, { resolve, reject }: Settle<Socket>): Socket {
    const options: NetConnectOpts & { onread: OnReadOpts } = {
      ...endpoint,
      onread: this.#options.onread,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: this.#options.keepAliveDelayMs,
    };
    const socket = connect(options);
    // The error listener stays for the turn between `connect` and the caller's own.
    socket.once("connect", () => resolve(socket)).once("error", reject);
    return socket;
  }

  /** Waits for a step until the deadline or {@link cancel}; the socket of a step that is given up is destroyed. */
  async #within<T>(
    deadline: number,
    target: Target,
    start: (settle: Settle<T>) => Socket | void,
  ): Promise<T> {
    if (this.#cancelled) throw this.#cancelled;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const socket = start({ resolve, reject });
    const timer = setTimeout(
      () => reject(new Error(`${formatTarget(target)} did not answer in time`)),
      Math.max(1, deadline - performance.now()),
    );
    this.#abandon = reject;
    try {
      return await promise;
    } catch (error) {
      socket?.destroy();
      throw error;
    } finally {
      clearTimeout(timer);
      this.#abandon = undefined;
    }
  }

  async #pause(ms: number): Promise<void> {
    if (this.#cancelled) throw this.#cancelled;
    const { promise, resolve: over, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(over, ms);
    this.#abandon = reject;
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#abandon = undefined;
    }
  }

  #leftMs(): number {
    return this.#deadline - performance.now();
  }
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

/** Returns where a target is found without asking a resolver; undefined for a name. */
function knownEndpoints(target: Target): readonly Endpoint[] | undefined {
  if (target.kind === "unix") return [{ path: usableSocketPath(target.path) }];
  const { host, port } = target;
  return isIP(host) === 0 ? undefined : [{ host, port }];
}

/** Asked at each dial, so that a changed answer needs no restart. */
async function resolveName(target: Target): Promise<readonly Endpoint[]> {
  if (target.kind === "unix") return [];
  const found = await lookup(target.host, { all: true });
  return found.map(({ address }) => ({ host: address, port: target.port }));
}
