import { COLUMN_NAMES, columnWidth, type ColumnName } from "./record-columns.ts";
import type { RedisClient } from "./redis-connection.ts";
import { recordColumnKey, recordListKey, recordMetaKey, SEGMENTS_KEY } from "./redis-keys.ts";

/** How much of the record is kept. Upper bounds: what is over either goes. */
export interface RecordBounds {
  readonly maxRecords: number;
  /** Milliseconds. */
  readonly maxAgeMs: number;
}

/** Parts into which each bound is cut; so coarse is the forgetting. */
const SEGMENTS_PER_BOUND = 100;
const SPANS_PER_AGE = 30;
/** Records of a segment: few enough for its columns to be read in one answer, enough for a segment's fixed cost not to count. */
const SEGMENT_RECORDS = { min: 100, max: 50_000 };

/** Returns how many records a segment takes before the next one is begun. */
export function segmentCapacity({ maxRecords }: RecordBounds): number {
  const share = Math.ceil(maxRecords / SEGMENTS_PER_BOUND);
  return Math.min(Math.max(share, SEGMENT_RECORDS.min), SEGMENT_RECORDS.max);
}

/** Returns how many milliseconds a segment may span. */
export function segmentSpanMs({ maxAgeMs }: RecordBounds): number {
  return Math.ceil(maxAgeMs / SPANS_PER_AGE);
}

/** Keys of a segment in the order in which the scripts take them: what it is, its records, its columns. */
export function segmentKeys(segment: number): string[] {
  const columns = COLUMN_NAMES.map((name) => recordColumnKey(segment, name));
  return [recordMetaKey(segment), recordListKey(segment), ...columns];
}

/** What a reader needs to know of a segment before it reads on. */
export interface SegmentState {
  readonly number: number;
  /** Records in it. */
  readonly count: number;
  /** Time of its oldest and newest record, milliseconds since the epoch. */
  readonly oldest: number;
  readonly newest: number;
}

/** Returns the segments that hold records, oldest first. */
export async function readSegments(redis: RedisClient): Promise<SegmentState[]> {
  const numbers = (await redis.zrange(SEGMENTS_KEY, "0", "-1")).map(Number);
  const states = await Promise.all(numbers.map((number) => readSegment(redis, number)));
  return states.filter((state) => state.count > 0);
}

/** Returns one segment; count 0 when it has ended, or has nothing yet. */
export async function readSegment(redis: RedisClient, number: number): Promise<SegmentState> {
  const [count, [oldest, newest]] = await Promise.all([
    redis.llen(recordListKey(number)),
    redis.hmget(recordMetaKey(number), "oldest", "newest"),
  ]);
  return { number, count, oldest: Number(oldest ?? 0), newest: Number(newest ?? Number.MAX_SAFE_INTEGER) };
}

/** Returns a column of a segment; undefined when it does not fit the records, because something other than us has been at it. */
export async function readColumn(
  redis: RedisClient,
  { number, count }: SegmentState,
  name: ColumnName,
): Promise<Buffer | undefined> {
  const cells = await redis.getBuffer(recordColumnKey(number, name));
  return cells !== null && cells.length >= count * columnWidth(name) ? cells : undefined;
}
