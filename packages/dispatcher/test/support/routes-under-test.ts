import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseHostname, type Hostname } from "@gatehouse/shared/hostname";
import { closeRedis, openRedis, type RedisClient } from "@gatehouse/shared/redis-connection";
import { formatTarget } from "@gatehouse/shared/route";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";
import { RouteTable, type RouteAnswer, type RouteTableOptions } from "../../src/route-table.ts";
import { until } from "@gatehouse/testbed/until";

/** A real Redis, an operator's connection to it, and route tables on it with what their callbacks said. */
export class RoutesUnderTest {
  readonly server: PrivateRedis;
  readonly operator: RedisClient;
  readonly stateDir: string;
  /** What the callbacks said, in order. */
  readonly told: string[] = [];
  readonly #tables: RouteTable[] = [];

  private constructor(server: PrivateRedis, stateDir: string) {
    this.server = server;
    this.stateDir = stateDir;
    this.operator = openRedis({ url: server.url, clientName: "operator" });
  }

  static async start(args: string[] = []): Promise<RoutesUnderTest> {
    const stateDir = await mkdtemp(join(tmpdir(), "gatehouse-routes-"));
    const context = new RoutesUnderTest(await startPrivateRedis({ args }), stateDir);
    await context.operatorReady();
    return context;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#tables.map((table) => table.close()));
    await closeRedis(this.operator);
    await this.server.stop();
    await rm(this.stateDir, { recursive: true, force: true });
  }

  async operatorReady(): Promise<void> {
    await until(() => this.operator.status === "ready");
  }

  /** A table that has not been started. */
  table(options: Partial<RouteTableOptions> = {}): RouteTable {
    const table = new RouteTable({
      redisUrl: this.server.url,
      stateDir: this.stateDir,
      snapshotIntervalMs: 20,
      onBadRoute: (name, problem) => this.told.push(`bad ${name}: ${problem}`),
      onStoreLost: () => this.told.push("lost"),
      onStoreRegained: () => this.told.push("regained"),
      onProblem: (problem) => this.told.push(`problem: ${problem}`),
      ...options,
    });
    this.#tables.push(table);
    return table;
  }

  async started(options: Partial<RouteTableOptions> = {}): Promise<RouteTable> {
    const table = this.table(options);
    await table.start();
    return table;
  }

  /** How often a command was carried out by the server since it started. */
  async calls(command: string): Promise<number> {
    const stats = await this.operator.info("commandstats");
    return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0);
  }
}

function hostname(text: string): Hostname {
  const parsed = parseHostname(text);
  if (!parsed.ok) throw new Error(`${text}: ${parsed.problem}`);
  return parsed.hostname;
}

/** An answer as one word: the targets of a route, or the kind. */
function word(answer: RouteAnswer): string {
  return answer.kind === "route" ? answer.route.targets.map(formatTarget).join(",") : answer.kind;
}

/** The answer for a name as one word; an empty name stands for a connection without server name. */
export async function ask(table: RouteTable, name: string): Promise<string> {
  return word(await table.find(name === "" ? undefined : hostname(name)));
}

/** The answer when it is given at once, else `later`. */
export function askNow(table: RouteTable, name: string): string {
  const answer = table.find(hostname(name));
  if (!(answer instanceof Promise)) return word(answer);
  void answer; // it never rejects
  return "later";
}
