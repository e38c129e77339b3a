import { setTimeout as sleep } from "node:timers/promises";
import type { LogRecord } from "@gatehouse/shared/log-record";
import type { Chart } from "./chart.ts";
import { fail, pass, skip, type Finding, type Step } from "./step.ts";

/** Records are stored in batches, one each 50 ms: by then the last of ours is there. */
const SETTLED_MS = 300;
/** A busy store takes them later. */
const STORED_WITHIN_MS = 2000;
const LOOK_EACH_MS = 100;
/** By how much the installation's clock may be behind ours: a record then carries a time before the deed. */
const CLOCK_SLACK_MS = 5000;
const DAY_MS = 86_400_000;

/** What each refusal of the dispatcher or an instance means (docs/errors.md); words that scanners cause are left out. */
const REFUSALS: Readonly<Record<string, { readonly cause: string; readonly fix: (host: string) => string }>> =
  {
    no_route: {
      cause: "nothing is routed under this name",
      fix: (host) => `redis-cli SET route:${host} 13001`,
    },
    target_down: {
      cause: "no target of the route answers",
      fix: (host) => `systemctl start gatehouse-instance@${host}, or correct route:${host}`,
    },
    bad_route: {
      cause: "the value of the route can't be read",
      fix: (host) => `redis-cli SET route:${host} 13001`,
    },
    loop: {
      cause: "the route leads back to the dispatcher itself",
      fix: (host) => `redis-cli SET route:${host} 13001 (the port of the instance, not of the dispatcher)`,
    },
    store_unavailable: {
      cause: "the dispatcher has no Redis and has never seen this name",
      fix: () => "bring Redis back; REDIS_URL of the dispatcher",
    },
    address_not_allowed: {
      cause: "this address is not on the host's list",
      fix: (host) => `allowed_addresses of proxy:${host}`,
    },
    bad_proxy_header: {
      cause: "the instance gets no valid PROXY header",
      fix: (host) => `route:${host} without ;proxy=off`,
    },
    proxy_header_timeout: {
      cause: "the instance gets no PROXY header",
      fix: (host) => `route:${host} without ;proxy=off`,
    },
    untrusted_sender: {
      cause: "the dispatcher's address is not listed",
      fix: () => "GATEHOUSE_PROXY_FROM of the instance",
    },
    too_many_connections: {
      cause: "the limit is reached",
      fix: () => "GATEHOUSE_MAX_CONNECTIONS(_PER_ADDRESS)",
    },
    connection_rate: {
      cause: "too many new connections a second from this address",
      fix: () => "GATEHOUSE_CONNECTIONS_PER_SECOND_PER_ADDRESS",
    },
  };

const UPSTREAM_STATUSES: ReadonlySet<number> = new Set([502, 504]);

/** What the installation itself saw of all this. */
export const recordSteps: readonly Step[] = [
  {
    id: "record.arrival",
    title: "the record saw this examination arrive",
    clause: "docs/traffic-record.md",
    run: recorded(findArrival),
  },
  {
    id: "record.refusals",
    title: "nothing of it was refused at the door",
    clause: "docs/errors.md",
    run: recorded(findRefusals),
  },
  {
    id: "record.upstream",
    title: "the upstream answered what it was asked",
    clause: "RFC 9110 15.6.3, 15.6.5",
    run: recorded(findUpstreamFaults),
  },
];

function recorded(run: (chart: Chart) => Promise<Finding>): Step["run"] {
  return async (chart) => (chart.store.hasRecord ? await run(chart) : skip(chart.store.recordProblem));
}

/** Everything of this host since the examination began: in these seconds mostly our own. */
async function ours(chart: Chart, slackMs = 0): Promise<readonly LogRecord[]> {
  const since = chart.startedAt - slackMs;
  return await chart.store.records({ hostname: chart.request.hostname, since });
}

async function findArrival(chart: Chart): Promise<Finding> {
  const { hostname, port } = chart.request;
  const deadline = Date.now() + STORED_WITHIN_MS;
  await sleep(SETTLED_MS);
  let records = await ours(chart, CLOCK_SLACK_MS);
  while (records.length === 0 && Date.now() < deadline) {
    await sleep(LOOK_EACH_MS);
    records = await ours(chart, CLOCK_SLACK_MS);
  }
  if (records.length > 0) {
    const conns = new Set(records.flatMap(({ conn }) => conn ?? []));
    const reqs = records.flatMap(({ req }) => req ?? []);
    const last = [...conns].at(-1);
    return pass(
      `${conns.size} connections, ${new Set(reqs).size} requests; conn=${last ?? "none"} req=${reqs.at(-1) ?? "none"} ` +
        `(scripts/gatehouse log connection ${last ?? "CONN"})`,
    );
  }
  const [before] = await chart.store.records({ hostname, since: Date.now() - 30 * DAY_MS }, 1);
  const seen =
    before === undefined ? "and none in 30 days" : `the last one ${new Date(before.time).toISOString()}`;
  return fail(`no connection ever reached port ${port} for ${hostname} in this examination, ${seen}`, {
    cause:
      "the name leads elsewhere, a firewall or a provider's front is in between, or this Redis is another installation's",
    fix: `point DNS of ${hostname} at the dispatcher, let TCP ${port} in; REDIS_URL of the dispatcher`,
  });
}

async function findRefusals(chart: Chart): Promise<Finding> {
  const { hostname } = chart.request;
  for (const { reason = "", message = "", event, conn } of await ours(chart)) {
    if (event !== "connection_refused") continue;
    const word = /refused: (\w+)/.exec(message)?.[1] ?? reason;
    const known = REFUSALS[word];
    if (known === undefined) continue;
    return fail(`${message} conn=${conn ?? "none"}`, { cause: known.cause, fix: known.fix(hostname) });
  }
  return pass("no refusal");
}

async function findUpstreamFaults(chart: Chart): Promise<Finding> {
  const failed = (await ours(chart)).filter(({ status = 0 }) => UPSTREAM_STATUSES.has(status));
  const [first] = failed;
  if (first === undefined) return pass("no 502 or 504");
  return fail(
    `${first.status} ${first.reason ?? ""} from ${first.upstream ?? "the upstream"}, ${failed.length} in all, req=${first.req ?? "none"}`,
    {
      cause: "the MCP server behind the host refused, broke off or kept silent",
      fix: `start ${first.upstream ?? "the MCP server"}, or correct target_url in proxy:${chart.request.hostname}`,
    },
  );
}
