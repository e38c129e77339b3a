import { once } from "node:events";
import { FORMED_TOGETHER, type RecordSink } from "./record-log.ts";
import { closeRedis, openRedis, storeErrorText, type RedisClient } from "./redis-connection.ts";
import type { RecordBounds } from "./record-segments.ts";
import { RecordStore } from "./record-store.ts";
import { StoredBatch } from "./stored-batch.ts";

/** Milliseconds that a batch waits for a connection. */
const CONNECT_WAIT_MS = 1000;

export interface RedisSinkOptions extends RecordBounds {
  readonly url: string;
  /** Shown by `CLIENT LIST`. */
  readonly clientName: string;
}

/** The stored record, over a connection of its own: neither waits for the other what is kept of traffic and what serves it. */
export class RedisSink implements RecordSink<StoredBatch> {
  readonly name = "redis";
  readonly retryMs = 500;
  readonly formedRecords = FORMED_TOGETHER;
  readonly #redis: RedisClient;
  readonly #store: RecordStore;
  #batch: StoredBatch | undefined;
  #spare: StoredBatch | undefined;
  #number = 0;
  #isTrimmed = false;

  /** @throws {TypeError} when the URL can't be read */
  constructor({ url, clientName, ...bounds }: RedisSinkOptions) {
    this.#redis = openRedis({ url, clientName });
    this.#store = new RecordStore(this.#redis, bounds);
  }

  /** Memory for a batch is asked of the system once: a hundred kilobytes, thirty times a second, would cost more than to fill them. */
  open(): StoredBatch {
    const batch = this.#spare ?? new StoredBatch();
    this.#spare = undefined;
    return batch;
  }

  async write(batch: StoredBatch): Promise<void> {
    try {
      await this.#connected();
      // The same batch under the same number: one whose answer was lost must not be stored twice.
      if (batch !== this.#batch) this.#number += 1;
      this.#batch = batch;
      await this.#store.append(this.#number, batch);
      // Redis has answered, so nothing reads it any more.
      this.#batch = undefined;
      batch.clear();
      this.#spare = batch;
    } catch (cause) {
      // It will be said on the console.
      throw new Error(storeErrorText(cause), { cause });
    }
    if (this.#isTrimmed) return;
    // The bound may be smaller than the one that the former process had.
    this.#isTrimmed = true;
    void this.#store.trim().catch(() => undefined);
  }

  /** A connection that is being made, at the start above all, is waited for; what keeps it from being made is the reason to give. */
  async #connected(): Promise<void> {
    if (this.#redis.status === "ready") return;
    await once(this.#redis, "ready", { signal: AbortSignal.timeout(CONNECT_WAIT_MS) });
  }

  async close(): Promise<void> {
    await this.#store.trimmed;
    await closeRedis(this.#redis);
  }
}
