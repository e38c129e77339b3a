import type { LogRecord } from "./log-record.ts";
import { columnTests, columnWidth, type ColumnTest } from "./record-columns.ts";
import { recordTest, type RecordFilter } from "./record-filter.ts";
import type { RedisClient } from "./redis-connection.ts";
import { readColumn, readSegments, type SegmentState } from "./record-segments.ts";
import { recordListKey } from "./redis-keys.ts";
import { decodeRecord } from "./stored-record.ts";

/** Segments whose columns are asked for at once: hides the way to Redis, and bounds what is held. */
const SEGMENTS_AHEAD = 8;
/** Records fetched at once. */
const CHUNK_RECORDS = 256;
/** Matches that lie no further apart are fetched in one piece, with what lies between them. */
const MAX_GAP = 8;

/** A place in the record: that many records of that segment lie before it. */
export interface RecordPosition {
  readonly segment: number;
  readonly index: number;
}

/** Returns the place behind the newest record. */
export async function endPosition(redis: RedisClient): Promise<RecordPosition> {
  const last = (await readSegments(redis)).at(-1);
  return { segment: last?.number ?? 0, index: last?.count ?? 0 };
}

/** Returns the time of the oldest record that is kept, in milliseconds since the epoch; undefined when there is none. */
export async function oldestKept(redis: RedisClient): Promise<number | undefined> {
  const segments = await readSegments(redis);
  return segments.length === 0 ? undefined : Math.min(...segments.map(({ oldest }) => oldest));
}

/**
 * Returns the newest `limit` records that match, newest last. `end` leaves out what was stored behind that place. Holds `limit` records
 * and the columns of a few segments.
 */
export async function newestRecords(
  redis: RedisClient,
  filter: RecordFilter,
  { limit, end }: { readonly limit: number; readonly end?: RecordPosition },
): Promise<LogRecord[]> {
  const found: LogRecord[] = [];
  if (limit <= 0) return found;
  const segments = (await readSegments(redis)).map((segment) => upTo(segment, end)).toReversed();
  const isMatch = recordTest(filter);
  for await (const { segment, matches } of candidates(redis, segments, filter)) {
    // From the newest on, so that a page costs a page.
    for (let last = matches.length; last > 0 && found.length < limit; last -= CHUNK_RECORDS) {
      const chunk = matches.slice(Math.max(0, last - CHUNK_RECORDS), last);
      const records = await readRecords(redis, segment, chunk);
      found.push(...records.filter(isMatch).toReversed());
    }
    if (found.length >= limit) break;
  }
  return byTime(found.slice(0, limit).toReversed());
}

/** Yields every record up to `end` that matches, oldest first, a batch at a time: what it holds does not grow with what it finds. */
export async function* everyRecord(
  redis: RedisClient,
  filter: RecordFilter,
  end?: RecordPosition,
): AsyncGenerator<LogRecord[]> {
  const isMatch = recordTest(filter);
  const segments = (await readSegments(redis)).map((segment) => upTo(segment, end));
  for await (const { segment, matches } of candidates(redis, segments, filter)) {
    for (let first = 0; first < matches.length; first += CHUNK_RECORDS) {
      const records = await readRecords(redis, segment, matches.slice(first, first + CHUNK_RECORDS));
      yield byTime(records.filter(isMatch));
    }
  }
}

/** Returns what lies at the given numbers, in their order; what has been dropped meanwhile is left out. */
export async function readRecords(
  redis: RedisClient,
  segment: number,
  numbers: readonly number[],
): Promise<LogRecord[]> {
  const pieces = await Promise.all(
    runsOf(numbers).map(async ({ from, to, wanted }) => {
      const texts = await redis.lrange(recordListKey(segment), from, to);
      return wanted.map((number) => texts[number - from]);
    }),
  );
  return pieces.flat().flatMap((text) => (text === undefined ? [] : (decodeRecord(text) ?? [])));
}

interface Candidates {
  readonly segment: number;
  /** Numbers of the records that may match, rising. */
  readonly matches: readonly number[];
}

/** Yields, segment by segment in the given order, which records may match. */
async function* candidates(
  redis: RedisClient,
  segments: readonly SegmentState[],
  filter: RecordFilter,
): AsyncGenerator<Candidates> {
  const { since = 0, until = Number.POSITIVE_INFINITY } = filter;
  const inTime = segments.filter(({ oldest, newest }) => newest >= since && oldest < until);
  const tests = columnTests(filter);
  for (let first = 0; first < inTime.length; first += SEGMENTS_AHEAD) {
    const group = inTime.slice(first, first + SEGMENTS_AHEAD);
    yield* await Promise.all(group.map((segment) => candidatesOf(redis, segment, tests)));
  }
}

async function candidatesOf(
  redis: RedisClient,
  segment: SegmentState,
  tests: readonly ColumnTest[],
): Promise<Candidates> {
  let matches: number[] | undefined;
  for (const { column, test } of tests) {
    const cells = await readColumn(redis, segment, column);
    // A column that is damaged tells nothing: the records themselves decide.
    if (cells === undefined) continue;
    const width = columnWidth(column);
    matches =
      matches === undefined
        ? allMatches({ cells, width, count: segment.count }, test)
        : matches.filter((number) => test(cells, number * width));
    if (matches.length === 0) break;
  }
  return { segment: segment.number, matches: matches ?? Array.from({ length: segment.count }, (_, n) => n) };
}

function allMatches(
  { cells, width, count }: { readonly cells: Buffer; readonly width: number; readonly count: number },
  test: ColumnTest["test"],
): number[] {
  const matches: number[] = [];
  for (let number = 0; number < count; number++) if (test(cells, number * width)) matches.push(number);
  return matches;
}

function upTo(segment: SegmentState, end: RecordPosition | undefined): SegmentState {
  if (end === undefined || segment.number < end.segment) return segment;
  return { ...segment, count: segment.number > end.segment ? 0 : Math.min(segment.count, end.index) };
}

interface Run {
  readonly from: number;
  to: number;
  readonly wanted: number[];
}

function runsOf(numbers: readonly number[]): Run[] {
  const runs: Run[] = [];
  for (const number of numbers) {
    const run = runs.at(-1);
    if (run === undefined || number - run.to > MAX_GAP)
      runs.push({ from: number, to: number, wanted: [number] });
    else {
      run.to = number;
      run.wanted.push(number);
    }
  }
  return runs;
}

/** Several writers store in the order of time only to within a batch. The sort is stable. */
function byTime(records: LogRecord[]): LogRecord[] {
  return records.toSorted((one, other) => one.time - other.time);
}
