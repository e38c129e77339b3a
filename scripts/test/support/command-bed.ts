import { execFile, spawnSync } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { closeRedis, openRedis, type RedisClient } from "@gatehouse/shared/redis-connection";
import { newSecretKey } from "@gatehouse/shared/sealing";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";

const SCRIPTS = join(import.meta.dirname, "../..");

export interface Ran {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

type Variables = Readonly<Record<string, string | undefined>>;

/** Runs a command of `scripts/` to its end. */
export function runScript(name: string, args: readonly string[], env: Variables): Ran {
  const { status, stdout, stderr } = spawnSync(join(SCRIPTS, name), args, { encoding: "utf8", env });
  return { status, out: stdout, err: stderr };
}

/** The real command line as a process, on a Redis of its own. */
export class CommandBed {
  readonly server: PrivateRedis;
  readonly redis: RedisClient;
  readonly secretKey: string = newSecretKey();

  private constructor(server: PrivateRedis, redis: RedisClient) {
    this.server = server;
    this.redis = redis;
  }

  static async open(): Promise<CommandBed> {
    const server = await startPrivateRedis();
    const redis = openRedis({ url: server.url, clientName: "test" });
    await once(redis, "ready");
    return new CommandBed(server, redis);
  }

  async close(): Promise<void> {
    await closeRedis(this.redis);
    await this.server.stop();
  }

  get environment(): Variables {
    return {
      PATH: process.env["PATH"],
      REDIS_URL: this.server.url,
      GATEHOUSE_SECRET_KEY: this.secretKey,
      // Nobody is asked whose a login is.
      GITHUB_API_URL: "http://127.0.0.1:1",
      GATEHOUSE_SOCKET_DIR: join(this.server.socketPath, "../sockets"),
    };
  }

  run(...args: string[]): Ran {
    return runScript("gatehouse", args, this.environment);
  }

  runWith(env: Variables, ...args: string[]): Ran {
    return runScript("gatehouse", args, { ...this.environment, ...env });
  }

  /** Runs it with `--json` and returns the objects it prints. */
  json(...args: string[]): Record<string, unknown>[] {
    const { status, out, err } = this.run(...args, "--json");
    if (status !== 0) throw new Error(`gatehouse ${args.join(" ")}: ${status} ${err}`);
    const lines = out.split("\n").filter((line) => line !== "");
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Runs it beside others. */
  async start(...args: string[]): Promise<Ran> {
    return await new Promise((resolve) => {
      const child = execFile(join(SCRIPTS, "gatehouse"), args, { env: this.environment }, (_, out, err) =>
        resolve({ status: child.exitCode, out, err }),
      );
    });
  }
}
