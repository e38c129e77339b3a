import type { RedisClient } from "@gatehouse/shared/redis-connection";
import { parseHostConfig } from "@gatehouse/shared/host-config";
import type { Environment } from "@gatehouse/shared/read-config";
import { OAUTH_PREFIX } from "@gatehouse/shared/redis-keys";
import { parseRoute } from "@gatehouse/shared/route";
import { everyCertificate, type CertificateFacts } from "../certificates/certificate-facts.ts";
import { readEverything } from "../config-file/config-plan.ts";
import { scanKeys } from "../hosts/scan-keys.ts";
import { recordRates, type RecordRates } from "./record-rates.ts";
import { connectedProcesses, redisStatus, type RedisStatus } from "./redis-status.ts";
import { targetsOf, type TargetStatus } from "./target-status.ts";

/** Names that are probed at once. */
const PROBES = 32;
const KINDS = ["client", "token", "grant"] as const;

/** What stands under one name. */
export interface NameStatus {
  readonly name: string;
  readonly route: string | null;
  readonly targets: readonly TargetStatus[];
  /** Whether an instance of it is connected to Redis; null where that can't be told, or none is needed. */
  readonly instance: boolean | null;
  readonly problems: readonly string[];
}

export interface SystemStatus {
  readonly redis: RedisStatus;
  /** Whether a dispatcher is connected to Redis; null where that can't be told. */
  readonly dispatcher: boolean | null;
  readonly names: readonly NameStatus[];
  readonly certificates: readonly CertificateFacts[];
  readonly oauth: Readonly<Record<(typeof KINDS)[number], number>>;
  readonly rates: RecordRates | null;
  /** Why there are no rates. */
  readonly rates_problem: string | null;
}

/** Returns everything that fits on one screen. */
export async function systemStatus(redis: RedisClient, env: Environment, now: number): Promise<SystemStatus> {
  const [server, processes, certificates, oauth, rates] = await Promise.all([
    redisStatus(redis),
    connectedProcesses(redis),
    everyCertificate(redis, now),
    countOauth(redis),
    recordRates(env, now),
  ]);
  return {
    redis: server,
    dispatcher: processes?.dispatcher ?? null,
    names: await namesOf(redis, processes?.instances),
    certificates,
    oauth,
    rates: typeof rates === "string" ? null : rates,
    rates_problem: typeof rates === "string" ? rates : null,
  };
}

async function namesOf(
  redis: RedisClient,
  instances: ReadonlySet<string> | undefined,
): Promise<NameStatus[]> {
  const stored = [...(await readEverything(redis))];
  const names: NameStatus[] = [];
  for (let first = 0; first < stored.length; first += PROBES) {
    const some = stored.slice(first, first + PROBES);
    names.push(
      ...(await Promise.all(
        some.map(async ([name, { route, config }]) => {
          const targets = route === null ? [] : await targetsOf(route);
          const instance = config === null ? null : (instances?.has(name) ?? null);
          const problems = problemsOf({ name, route, config, targets, instance });
          return { name, route, targets, instance, problems };
        }),
      )),
    );
  }
  return names;
}

interface Found {
  readonly name: string;
  readonly route: string | null;
  readonly config: string | null;
  readonly targets: readonly TargetStatus[];
  readonly instance: boolean | null;
}

function problemsOf(found: Found): string[] {
  const parsed = found.config === null ? undefined : parseHostConfig(found.config);
  const bad =
    parsed?.ok === false ? [`bad host config: ${parsed.problems.map(({ key }) => key).join(", ")}`] : [];
  return [...bad, ...mismatches(found), ...silences(found)];
}

/** Where route and host config don't belong together. */
function mismatches({ name, route, config }: Found): string[] {
  if (route === null) return config === null ? [] : ["host config without route: nobody gets there"];
  const leads = parseRoute(route);
  if (!leads.ok) return [`bad route: ${leads.problem}`];
  const isPlain = leads.route.proxy === "off";
  if (config !== null) return isPlain ? ["route says proxy=off: its instance requires the PROXY header"] : [];
  // Where no PROXY header is sent there is no instance of ours, and wildcards have no config.
  return isPlain || name.includes("*") ? [] : ["route without host config: an instance there answers 404"];
}

function silences({ targets, instance }: Found): string[] {
  const silent = targets.filter(({ answers }) => !answers);
  const problems = silent.map(({ target, error }) => `nothing answers at ${target} (${error})`);
  if (instance === true && targets.length > 0 && silent.length === targets.length)
    problems.push("its instance runs and listens elsewhere: restart it, or set the route back");
  return problems;
}

async function countOauth(redis: RedisClient): Promise<SystemStatus["oauth"]> {
  const counts = { client: 0, token: 0, grant: 0 };
  for await (const key of scanKeys(redis, OAUTH_PREFIX)) {
    const kind = KINDS.find((word) => key.startsWith(`${OAUTH_PREFIX}${word}:`));
    if (kind !== undefined) counts[kind] += 1;
  }
  return counts;
}
