import type { LogRecord } from "./log-record.ts";
import { recordTest, type RecordFilter } from "./record-filter.ts";
import { readRecords, type RecordPosition } from "./record-query.ts";
import type { RedisClient } from "./redis-connection.ts";
import { readSegment } from "./record-segments.ts";
import { SEGMENTS_KEY } from "./redis-keys.ts";

/** Records looked at in one step. */
const STEP_RECORDS = 1024;

/** Walks along the record as it grows. */
export class RecordFollower {
  readonly #redis: RedisClient;
  readonly #isMatch: (record: LogRecord) => boolean;
  #position: RecordPosition;

  /** Begins at a place: what lies before it is not told. */
  constructor(redis: RedisClient, filter: RecordFilter, start: RecordPosition) {
    this.#redis = redis;
    this.#isMatch = recordTest(filter);
    this.#position = start;
  }

  /**
   * Returns the matching ones among the next records, oldest first, and whether there may be more at once. Rejects when Redis is away;
   * the next call goes on where this one should have.
   */
  async next(): Promise<{ readonly records: LogRecord[]; readonly hasMore: boolean }> {
    const { segment, index } = this.#position;
    const { count } = await readSegment(this.#redis, segment);
    if (count > index) {
      const numbers = Array.from({ length: Math.min(count - index, STEP_RECORDS) }, (_, n) => index + n);
      const records = await readRecords(this.#redis, segment, numbers);
      this.#position = { segment, index: index + numbers.length };
      return { records: records.filter(this.#isMatch), hasMore: true };
    }
    return { records: [], hasMore: await this.#isMovedOn({ isGone: count < index }) };
  }

  /** True when there is a newer segment, and this one is therefore complete; a record that was emptied is begun anew. */
  async #isMovedOn({ isGone }: { isGone: boolean }): Promise<boolean> {
    const { segment, index } = this.#position;
    const [next] = await this.#redis.zrangebyscore(SEGMENTS_KEY, `(${segment}`, "+inf", "LIMIT", 0, 1);
    if (next !== undefined) {
      // Between the count and this answer the last records may have come.
      const { count } = await readSegment(this.#redis, segment);
      if (count > index && !isGone) return true;
      this.#position = { segment: Number(next), index: 0 };
      return true;
    }
    if (isGone) this.#position = { segment: 0, index: 0 };
    return false;
  }
}
