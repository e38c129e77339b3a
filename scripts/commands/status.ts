import { systemStatus, type NameStatus, type SystemStatus } from "../status/system-status.ts";
import { answer, counted, table } from "./answer.ts";
import { withStore } from "./control-store.ts";
import { defineCommand } from "./define-command.ts";

const MEBIBYTE = 1024 * 1024;

/** `gatehouse status`: one screen. */
export const status = defineCommand({
  name: "status",
  words: [],
  summary: "one screen: Redis, processes, routes, certificates, rates",
  options: {},
  about: `Shows how Redis is set up, which processes are connected to it, every name with its route and whether something answers there, certificates,
counts and rates, and everything that is wrong. Targets are reached from here: run it where the dispatcher runs.
Exit status 0 also when something is wrong; --json has every problem in a list.`,
  examples: ["gatehouse status", "gatehouse status --json | jq '.names[] | select(.problems != [])'"],
  async run({ env, isJson }) {
    const found = await withStore(env, async (redis) => await systemStatus(redis, env, Date.now()));
    answer(isJson, found, screen(found));
  },
});

function screen(found: SystemStatus): string {
  const { redis, oauth, names, certificates } = found;
  const used = `${Math.round(redis.used_memory_bytes / MEBIBYTE)} MiB`;
  const limit = redis.maxmemory_bytes === 0 ? "" : ` of ${Math.round(redis.maxmemory_bytes / MEBIBYTE)} MiB`;
  const until = new Map<string, (typeof certificates)[number]>(
    certificates.map((facts) => [facts.hostname, facts]),
  );
  const rows = names.map((name) => {
    const facts = until.get(name.name);
    return [name.name, name.route ?? "(none)", reached(name), process(name), days(facts?.days_left ?? null)];
  });
  return [
    `Redis       ${redis.servers === 1 ? "" : `Cluster of ${redis.servers} masters, `}${redis.version}, append-only file ${redis.aof ? "on" : "off"}, ${redis.maxmemory_policy}, ${used}${limit}`,
    `Dispatcher  ${found.dispatcher === null ? "unknown" : found.dispatcher ? "connected to Redis" : "not connected to Redis"}`,
    `OAuth       ${counted(oauth.client, "client")}, ${counted(oauth.grant, "grant")}, ${counted(oauth.token, "token")}`,
    `Record      ${rates(found)}`,
    "",
    table(["NAME", "ROUTE", "ANSWERS", "INSTANCE", "CERTIFICATE"], rows),
    ...problems(found),
  ].join("\n");
}

function reached({ targets }: NameStatus): string {
  const answering = targets.filter(({ answers }) => answers).length;
  if (targets.length === 0) return "-";
  return targets.length === 1 ? (answering === 1 ? "yes" : "no") : `${answering} of ${targets.length}`;
}

function process({ instance }: NameStatus): string {
  return instance === null ? "-" : instance ? "connected" : "not there";
}

function days(left: number | null): string {
  return left === null ? "-" : `${left} days`;
}

function rates({ rates: found, rates_problem: problem }: SystemStatus): string {
  if (found === null) return `no rates: ${problem}`;
  return `${found.records} a minute over ${found.minutes} min: ${found.requests} requests, ${found.server_errors} of them 5xx`;
}

function problems({ redis, names, certificates }: SystemStatus): string[] {
  const all = [
    ...redis.warnings.map((warning) => `Redis: ${warning}`),
    ...names.flatMap(({ name, problems: own }) => own.map((problem) => `${name}: ${problem}`)),
    // What is not found here is the business of the instance's files, or of ACME.
    ...certificates.flatMap(({ hostname, found, problem }) =>
      found === null || problem === null ? [] : [`${hostname}: certificate ${problem}`],
    ),
  ];
  return all.length === 0 ? ["", "Nothing is wrong"] : ["", ...all.map((problem) => `! ${problem}`)];
}
