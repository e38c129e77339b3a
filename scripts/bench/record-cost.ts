// `pnpm bench:records`: what the stored record costs. Two whole chains (dispatcher and instance, one core for both) in front of one
// upstream, one with the record in Redis and one without, loaded in turn by h2load from the other core, where Redis is too; several such pairs
// one after the other. Prints requests per second, and CPU of the chain's processes per request, with their ratios. Fails when more than 5 % of
// the requests are lost.
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import {
  createCertificateAuthority,
  type CertificateAuthority,
} from "@gatehouse/testbed/certificate-authority";
import { startPrivateRedis } from "@gatehouse/testbed/private-redis";
import { FreePorts } from "../demo/free-port.ts";
import { GatehouseChild } from "../demo/gatehouse-child.ts";
import { keepSecretKey } from "../demo/secret-key.ts";
import { pinTo, putFirst } from "./process-cpu.ts";
import { treeCpuSeconds } from "./process-tree.ts";
import { median } from "./median.ts";
import { hasHttpLoad, httpLoad } from "./http-load.ts";

const HOSTNAME = "bench.localhost";
const LOOPBACK = "127.0.0.1";
/** The chain has a core of its own; everything else shares the other. */
const CHAIN_CORE = 0;
const OTHER_CORE = 1;
const CONNECTIONS = 16;
const SECONDS = 2;
const WARM_UP_SECONDS = 3;
const ROUNDS = 5;
/** Pairs of chains, each started anew: what V8 makes of the same code differs by some percent from one process to the next. */
const PAIRS = process.argv.includes("--quick") ? 3 : 9;
/** Share of requests per second that may be lost. */
const BOUND = 0.05;

interface Chain {
  readonly name: "on" | "off";
  readonly port: number;
  readonly processes: readonly GatehouseChild[];
}

interface Place {
  readonly directory: string;
  readonly authority: CertificateAuthority;
  readonly upstream: string;
}

async function startChain(name: Chain["name"], redisUrl: string, place: Place): Promise<Chain> {
  const { directory, authority, upstream } = place;
  const ports = new FreePorts();
  const logDir = join(directory, name);
  await mkdir(logDir, { recursive: true });
  const settings = {
    REDIS_URL: redisUrl,
    ...(name === "off" ? { LOG_REDIS_URL: "off" } : {}),
    GATEHOUSE_DISPATCHER_DRAIN_SECONDS: "0",
    GATEHOUSE_INSTANCE_DRAIN_SECONDS: "0",
  };
  const redis = new Redis({ path: redisUrl.slice("unix://".length) });
  const config = { target_url: upstream, certificate: "file" };
  await redis.set(`proxy:${HOSTNAME}`, JSON.stringify(config));
  await redis.set(`route:${HOSTNAME}`, `unix:${join(logDir, "instance.sock")}`);
  redis.disconnect();
  const secretKeyFile = join(logDir, "key");
  await keepSecretKey(secretKeyFile);
  const { certPath, keyPath } = await authority.issue([HOSTNAME]);
  return await ports.startOn([LOOPBACK], 18_443 + (name === "on" ? 100 : 0), async (port) => {
    const dispatcher = await GatehouseChild.start({ package: "dispatcher", name: "dispatcher" }, logDir, {
      ...settings,
      GATEHOUSE_DISPATCHER_LISTEN: `${LOOPBACK}:${port}`,
    });
    const instance = await GatehouseChild.start({ package: "instance", name: HOSTNAME }, logDir, {
      ...settings,
      GATEHOUSE_HOSTNAME: HOSTNAME,
      GATEHOUSE_PUBLIC_PORT: String(port),
      GATEHOUSE_SECRET_KEY_FILE: secretKeyFile,
      GATEHOUSE_CERTIFICATE_FILE: certPath,
      GATEHOUSE_CERTIFICATE_KEY_FILE: keyPath,
    });
    for (const { pid } of [dispatcher, instance]) {
      pinTo(CHAIN_CORE, pid);
      putFirst(pid);
    }
    return { name, port, processes: [dispatcher, instance] };
  });
}

interface Measure {
  readonly perSecond: number;
  /** Microseconds of the chain's processes for one request. */
  readonly cpu: number;
}

async function load(chain: Chain, seconds: number): Promise<Measure> {
  const used = (): number => treeCpuSeconds(chain.processes.map(({ pid }) => pid));
  const before = used();
  const { requests, failed, perSecond } = await httpLoad({
    url: `https://${HOSTNAME}:${chain.port}/hello`,
    address: `${LOOPBACK}:${chain.port}`,
    connections: CONNECTIONS,
    seconds,
  });
  if (failed > 0) throw new Error(`${failed} requests failed`);
  return { perSecond, cpu: ((used() - before) / requests) * 1e6 };
}

async function storedRecords(redisUrl: string): Promise<number> {
  const redis = new Redis({ path: redisUrl.slice("unix://".length) });
  const segments = await redis.zrange("log:segments", "0", "-1");
  const counts = await Promise.all(segments.map((segment) => redis.llen(`log:{${segment}}:records`)));
  redis.disconnect();
  return counts.reduce((sum, count) => sum + count, 0);
}

type Measures = Readonly<Record<Chain["name"], Measure[]>>;

function middle(measures: Measures, name: Chain["name"], field: keyof Measure): number {
  return median(measures[name].map((each) => each[field]));
}

/** On over off, of one pair. */
function ratioOf(measures: Measures, field: keyof Measure): number {
  return middle(measures, "on", field) / middle(measures, "off", field);
}

/** Returns the median of the pairs' ratios of requests per second. */
function report(pairs: readonly Measures[]): number {
  console.log("| pair | requests/s off | on | on/off | CPU of the chain off, us/request | on | on/off |");
  console.log("|---|---|---|---|---|---|---|");
  for (const [index, pair] of pairs.entries()) {
    const cells = (["perSecond", "cpu"] as const).flatMap((field) => [
      middle(pair, "off", field).toFixed(field === "cpu" ? 1 : 0),
      middle(pair, "on", field).toFixed(field === "cpu" ? 1 : 0),
      ratioOf(pair, field).toFixed(3),
    ]);
    console.log(`| ${index + 1} | ${cells.join(" | ")} |`);
  }
  const ratio = median(pairs.map((pair) => ratioOf(pair, "perSecond")));
  const cpu = median(pairs.map((pair) => ratioOf(pair, "cpu")));
  console.log(`on/off: ${ratio.toFixed(3)} requests per second, ${cpu.toFixed(3)} CPU per request`);
  return ratio;
}

async function measurePair(chains: readonly Chain[]): Promise<Measures> {
  for (const chain of chains) await load(chain, WARM_UP_SECONDS);
  const measures: Measures = { on: [], off: [] };
  for (let round = 0; round < ROUNDS; round++) {
    // In turn first and second: what the first one leaves behind meets the other as often.
    for (const chain of round % 2 === 0 ? chains : chains.toReversed()) {
      measures[chain.name].push(await load(chain, SECONDS));
    }
  }
  return measures;
}

if (!hasHttpLoad()) throw new Error("this benchmark needs h2load: apt-get install nghttp2-client");
pinTo(OTHER_CORE, process.pid);
putFirst(process.pid);
const directory = await mkdtemp(join(tmpdir(), "gatehouse-bench-"));
const [onRedis, offRedis] = [await startPrivateRedis(), await startPrivateRedis()];
for (const { pid } of [onRedis, offRedis]) putFirst(pid);
const upstream = createServer((_request, response) => response.end("hello\n")).listen(0, LOOPBACK);
const chains: Chain[] = [];
const stopChains = async (): Promise<void> => {
  await Promise.all(chains.splice(0).flatMap(({ processes }) => processes.map((child) => child.stop())));
};
try {
  const place = {
    directory,
    authority: await createCertificateAuthority(join(directory, "ca")),
    upstream: `http://${LOOPBACK}:${(upstream.address() as AddressInfo).port}`,
  };
  const pairs: Measures[] = [];
  for (let pair = 0; pair < PAIRS; pair++) {
    chains.push(await startChain("off", offRedis.url, place), await startChain("on", onRedis.url, place));
    pairs.push(await measurePair(chains));
    await stopChains();
  }
  const ratio = report(pairs);
  console.log(
    `records stored: ${await storedRecords(onRedis.url)} with it on, ${await storedRecords(offRedis.url)} with it off`,
  );
  if (ratio < 1 - BOUND) {
    console.error(`FAILED more than ${BOUND * 100} % of the requests per second are lost`);
    process.exitCode = 1;
  }
} finally {
  await stopChains();
  upstream.close().closeAllConnections();
  await Promise.all([onRedis.stop(), offRedis.stop()]);
  await rm(directory, { recursive: true, force: true });
}
