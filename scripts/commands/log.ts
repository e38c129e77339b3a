import type { Environment } from "@gatehouse/shared/read-config";
import { closeRedis, openRedis } from "@gatehouse/shared/redis-connection";
import { CRITERIA, LOG_OPTIONS, readLogRequest, type LogVerb } from "../log/log-request.ts";
import { MOMENT_FORMS } from "../log/moment.ts";
import { printRecords } from "../log/print-records.ts";
import { RecordOutput } from "../log/record-output.ts";
import { recordPlace } from "../log/record-place.ts";
import type { Command } from "./command.ts";
import { connected } from "./connected.ts";

interface Verb {
  readonly verb: LogVerb;
  readonly value: string;
  readonly summary: string;
  readonly example: string;
}

const VERBS: readonly Verb[] = [
  {
    verb: "ip",
    value: "ADDRESS",
    summary: "what an address, or a CIDR block, did",
    example: "34.162.102.82 --since 1h",
  },
  {
    verb: "hostname",
    value: "HOST",
    summary: "what came for a hostname",
    example: "simple.example.com --status 4xx",
  },
  { verb: "user", value: "LOGIN", summary: "what a user did, by login or by id", example: "octocat --json" },
  {
    verb: "client",
    value: "CLIENT_ID",
    summary: "what an OAuth client did",
    example: "client_VSMC7orqn6WQoElOov-Zvw",
  },
  {
    verb: "request",
    value: "REQ_ID",
    summary: "one request: its start, its steps, its end",
    example: "req-01JD5K2Z8Q6V4R7XN3M9T0B1HC",
  },
  {
    verb: "connection",
    value: "CONN_ID",
    summary: "one connection, from the dispatcher to its last request",
    example: "c-01JD5K2Z8Q6V4R7XN3M9T0B1HC",
  },
  {
    verb: "status",
    value: "STATUS",
    summary: "requests that ended so: 404, 4xx, 500-503",
    example: "5xx --hostname simple.example.com",
  },
  {
    verb: "errors",
    value: "",
    summary: "what went wrong here: 5xx, and faults of ours",
    example: "--since 2025-08-30",
  },
  {
    verb: "slow",
    value: "[MS]",
    summary: "requests, and beginnings of streams, that took so long (1000)",
    example: "500 --hostname simple.example.com",
  },
  {
    verb: "follow",
    value: "",
    summary: "records as they come; a line each on a terminal",
    example: "--hostname simple.example.com --level warn",
  },
];

/** `gatehouse log …`: what reached this installation, from the stored record. */
export const logCommands: readonly Command[] = VERBS.map((verb) => ({
  name: `log ${verb.verb}`,
  summary: verb.summary,
  help: helpOf(verb),
  options: LOG_OPTIONS,
  async run(args, env) {
    await run(readLogRequestNow(verb.verb, args), env);
  },
}));

function readLogRequestNow(verb: LogVerb, args: readonly string[]) {
  return { verb, request: readLogRequest(verb, args, Date.now()) };
}

async function run({ verb, request }: ReturnType<typeof readLogRequestNow>, env: Environment): Promise<void> {
  const url = await recordPlace(env);
  const stop = stopSignal();
  const isWatched = verb === "follow" && process.stdout.isTTY;
  const form = request.isJson ? "json" : isWatched ? "line" : "printed";
  const output = new RecordOutput(process.stdout, { form, filter: request.filter, env });
  const redis = openRedis({ url, clientName: "gatehouse-log" });
  try {
    await connected(redis, "LOG_REDIS_URL or REDIS_URL");
    await printRecords(redis, { request, signal: stop }, output);
  } finally {
    await closeRedis(redis);
  }
}

/** Raised by Ctrl-C and TERM, and when nobody reads us any more (`| head`): all three are how a reader is ended, not failures. */
function stopSignal(): AbortSignal {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(0);
  });
  return stop.signal;
}

function helpOf({ verb, value, summary, example }: Verb): string {
  const words = ["gatehouse log", verb, value].filter((word) => word !== "").join(" ");
  const criteria = Object.entries(CRITERIA).map(
    ([name, { expected }]) => `  --${name.padEnd(12)} ${expected}`,
  );
  return `Usage: ${words} [OPTION...]

Prints ${summary}, newest last.

  --since, --until  a moment: ${MOMENT_FORMS}
  --limit N         records at most (100; following: 10); all: everything, oldest first
  --follow          go on with what comes, until Ctrl-C
  --json            an object a line
  --errors          the same as --level error
Narrowed down further, all of it must hold:
${criteria.join("\n")}

Reads the server of LOG_REDIS_URL, else REDIS_URL, else a demo that runs here. Exit 0 also where nothing is found.

Example: gatehouse log ${verb} ${example}`;
}
