import { randomBytes } from "node:crypto";
import { COLUMN_NAMES, columnWidth } from "./record-columns.ts";
import type { RedisClient } from "./redis-connection.ts";
import {
  readSegments,
  segmentCapacity,
  segmentKeys,
  segmentSpanMs,
  type RecordBounds,
} from "./record-segments.ts";
import { SEGMENTS_KEY } from "./redis-keys.ts";
import type { StoredBatch } from "./stored-batch.ts";

/**
 * Appends a batch to a segment, all or nothing. Returns the number of records it had before; -1: it takes no more; -2: this very
 * batch is in it already. A segment whose columns don't fit its records (something deleted or evicted one) takes no more either.
 */
const APPEND = `
local meta, list = KEYS[1], KEYS[2]
local writer, batch, capacity, span, age = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local oldest, newest, columns = tonumber(ARGV[6]), tonumber(ARGV[7]), #KEYS - 2
local known = redis.call('HMGET', meta, 'writer:' .. writer, 'sealed', 'oldest', 'newest')
if known[1] and tonumber(known[1]) >= batch then return -2 end
if known[2] then return -1 end
local count = redis.call('LLEN', list)
local fits = count < capacity and not (count > 0 and newest - tonumber(known[3] or 0) >= span)
for c = 1, columns do
  fits = fits and redis.call('STRLEN', KEYS[2 + c]) == count * tonumber(ARGV[7 + c])
end
if not fits then
  redis.call('HSET', meta, 'sealed', 1)
  return -1
end
for c = 1, columns do redis.call('APPEND', KEYS[2 + c], ARGV[7 + columns + c]) end
local lines = {}
for line in string.gmatch(ARGV[8 + 2 * columns], '[^\\n]+') do lines[#lines + 1] = line end
redis.call('RPUSH', list, unpack(lines))
redis.call('HSET', meta, 'writer:' .. writer, batch,
  'oldest', math.min(oldest, tonumber(known[3] or oldest)), 'newest', math.max(newest, tonumber(known[4] or newest)))
if count == 0 then for k = 1, #KEYS do redis.call('PEXPIRE', KEYS[k], age) end end
return count`;

/** Makes the segment behind the given one the newest, unless another writer has; returns the newest. */
const ADVANCE = `
local newest = tonumber(redis.call('ZREVRANGE', KEYS[1], 0, 0)[1] or 0)
local wanted = tonumber(ARGV[1]) + 1
if newest >= wanted then return newest end
redis.call('ZADD', KEYS[1], wanted, wanted)
return wanted`;

/** A string that grew by appending holds up to twice its length; written anew it holds just that. */
const SHRINK = `
for k = 3, #KEYS do
  local cells = redis.call('GET', KEYS[k])
  if cells then redis.call('SET', KEYS[k], cells, 'KEEPTTL') end
end`;

/** Milliseconds after which a writer asks again which segment is the newest: the one it knows may be gone. */
const STALE_AFTER_MS = 60_000;
/** Segments tried for one batch. Each failure means that another writer has just filled one. */
const MAX_ATTEMPTS = 10;
const SEALED = -1;
const ALREADY_STORED = -2;

const COLUMN_WIDTHS: readonly string[] = COLUMN_NAMES.map((name) => String(columnWidth(name)));

/** One writer of the stored record. Any number of them may write at once, in this process and others. */
export class RecordStore {
  readonly #redis: RedisClient;
  readonly #bounds: RecordBounds;
  readonly #writer = randomBytes(9).toString("base64url");
  #segment: number | undefined;
  #isListed = false;
  #usedAt = 0;
  #trimming: Promise<void> = Promise.resolve();

  constructor(redis: RedisClient, bounds: RecordBounds) {
    this.#redis = redis;
    this.#bounds = bounds;
  }

  /** Settles when no trimming runs. */
  get trimmed(): Promise<void> {
    return this.#trimming;
  }

  /**
   * Stores a batch of 1 to 4,000 records, all or nothing. A rejected one may have been stored all the same: give it again under the
   * same number before any other. Numbers rise.
   */
  async append(number: number, batch: StoredBatch): Promise<void> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const segment = await this.#currentSegment();
      const before = await this.#appendTo(segment, number, batch);
      if (before === SEALED) {
        await this.#advance(segment);
        continue;
      }
      // An empty segment is a new one, or one that Redis has lost together with its place in the list.
      if (before === 0) this.#isListed = false;
      if (!this.#isListed) await this.#list(segment);
      this.#usedAt = performance.now();
      if (before === ALREADY_STORED || before >= 0) return;
    }
    throw new Error(`no segment took a batch in ${MAX_ATTEMPTS} attempts`);
  }

  /** Drops the oldest segments until the bound holds with room for one more; what has ended by age is taken off the list. */
  async trim(): Promise<void> {
    const segments = await readSegments(this.#redis);
    const newest = segments.at(-1)?.number ?? 0;
    const held = new Set(segments.map(({ number }) => number));
    for (const number of await this.#redis.zrange(SEGMENTS_KEY, "0", "-1")) {
      // The newest may just not have anything yet.
      if (Number(number) < newest && !held.has(Number(number))) await this.#redis.zrem(SEGMENTS_KEY, number);
    }
    const { maxRecords } = this.#bounds;
    let room = maxRecords - segmentCapacity(this.#bounds);
    for (const { number, count } of segments.toReversed()) {
      if (number !== newest) room -= count;
      if (room < 0) await this.#drop(number);
    }
  }

  async #currentSegment(): Promise<number> {
    const isStale = performance.now() - this.#usedAt > STALE_AFTER_MS;
    if (this.#segment !== undefined && !isStale) return this.#segment;
    const [newest] = await this.#redis.zrange(SEGMENTS_KEY, "-1", "-1");
    this.#isListed = newest !== undefined;
    this.#segment = newest === undefined ? 1 : Number(newest);
    return this.#segment;
  }

  async #appendTo(segment: number, number: number, batch: StoredBatch): Promise<number> {
    const keys = segmentKeys(segment);
    const head = [
      this.#writer,
      number,
      segmentCapacity(this.#bounds),
      segmentSpanMs(this.#bounds),
      this.#bounds.maxAgeMs,
      batch.oldest,
      batch.newest,
    ];
    // One argument for all records: as many would cost more to send than they took to be made.
    const args = [...keys, ...head, ...COLUMN_WIDTHS, ...batch.cells, batch.text];
    return Number(await this.#redis.eval(APPEND, keys.length, ...args));
  }

  async #advance(full: number): Promise<void> {
    const newest = Number(await this.#redis.eval(ADVANCE, 1, SEGMENTS_KEY, full));
    this.#segment = newest;
    this.#isListed = true;
    this.#usedAt = performance.now();
    // Off the way of the batch that waits; what fails here is done at the next segment.
    this.#trimming = this.#trimming.then(() => this.#tidy(full)).catch(() => undefined);
  }

  async #tidy(full: number): Promise<void> {
    const keys = segmentKeys(full);
    await this.#redis.eval(SHRINK, keys.length, ...keys);
    await this.trim();
  }

  async #list(segment: number): Promise<void> {
    await this.#redis.zadd(SEGMENTS_KEY, segment, String(segment));
    this.#isListed = true;
  }

  /** Off the list first: what is left of a drop that fails half-way ends by its age, and nobody reads it meanwhile. */
  async #drop(segment: number): Promise<void> {
    await this.#redis.zrem(SEGMENTS_KEY, String(segment));
    await this.#redis.unlink(...segmentKeys(segment));
  }
}
