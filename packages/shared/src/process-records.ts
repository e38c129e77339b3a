import { NO_RECORD_STORE, type recordOptions } from "./common-options.ts";
import type { Component, Level } from "./log-record.ts";
import type { ConfigOf } from "./read-config.ts";
import { RecordWriter, type RecordSink } from "./record-log.ts";
import { RedisSink } from "./redis-sink.ts";

const DAY_MS = 86_400_000;

/** The options that say where the records of a process go. */
type RecordConfig = ConfigOf<typeof recordOptions> & { readonly redisUrl: string; readonly logLevel: Level };

interface ProcessSinks {
  readonly component: Component;
  /** What `CLIENT LIST` tells this process by. */
  readonly name: string;
  readonly sinks: readonly RecordSink[];
}

/** Opens the records of a process: to the sinks it brings (the console), and to Redis unless that is off. */
export function openRecords(config: RecordConfig, { component, name, sinks }: ProcessSinks): RecordWriter {
  const url = config.logRedisUrl ?? config.redisUrl;
  const stored =
    url === NO_RECORD_STORE
      ? []
      : [
          new RedisSink({
            url,
            clientName: `gatehouse-records-${name}`,
            maxRecords: config.logMaxRecords,
            maxAgeMs: config.logMaxDays * DAY_MS,
          }),
        ];
  return new RecordWriter({ level: config.logLevel, component, sinks: [...sinks, ...stored] });
}
