import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { endProcess, startGuarded } from "./guarded-process.ts";
import { findRedis } from "./redis-program.ts";

/** A unix socket path may have 107 bytes; some are left for whoever derives a name from it. */
const MAX_SOCKET_PATH_BYTES = 99;

/** From spawn to the first PONG: 25-65 ms idle; the bound is for a machine with every core busy. */
const READY_TIMEOUT_MS = 20_000;

/** How long a server may take to write its files on SIGTERM. */
const STOP_GRACE_MS = 5_000;

/** A real Redis server that belongs to the caller alone. */
export interface PrivateRedis {
  /** `unix:///…`, as REDIS_URL takes it. */
  readonly url: string;
  readonly socketPath: string;
  /** Of the server as it runs now; another one after `restart`. */
  readonly pid: number;
  /** Sends a signal. Resolves at once for SIGSTOP and SIGCONT, for all others when the server is gone. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Ends the server and removes its directory. May be called twice. */
  stop(): Promise<void>;
  /** Starts the server again on the same socket, ending it first when it still runs; data survives only with `--appendonly yes`. */
  restart(): Promise<void>;
}

/**
 * Starts a private Redis on a unix socket in a directory of its own; it keeps nothing on disk unless `args` say so, and
 * never outlives this process. `REDIS_URL` is ignored; `GATEHOUSE_TEST_REDIS_URL` names a server to use instead,
 * which must be empty and is emptied again by `stop`.
 */
export async function startPrivateRedis(
  options: { directory?: string; args?: string[] } = {},
): Promise<PrivateRedis> {
  const given = process.env["GATEHOUSE_TEST_REDIS_URL"];
  if (given !== undefined && given !== "") return await borrowRedis(given);
  const directory = options.directory ?? (await temporaryDirectory());
  const socketPath = join(directory, "redis.sock");
  if (Buffer.byteLength(socketPath) > MAX_SOCKET_PATH_BYTES)
    throw new Error(`${socketPath} is over ${MAX_SOCKET_PATH_BYTES} bytes, too long for a unix socket`);
  const server = new OwnServer({
    directory,
    socketPath,
    args: options.args ?? [],
    isTemporary: options.directory === undefined,
  });
  await server.restart();
  return server;
}

async function temporaryDirectory(): Promise<string> {
  const base = Buffer.byteLength(tmpdir()) > 60 && existsSync("/tmp") ? "/tmp" : tmpdir();
  return await mkdtemp(join(base, "gatehouse-redis-"));
}

class OwnServer implements PrivateRedis {
  readonly url: string;
  readonly socketPath: string;
  readonly #directory: string;
  readonly #isTemporary: boolean;
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;

  constructor(place: {
    directory: string;
    socketPath: string;
    args: readonly string[];
    isTemporary: boolean;
  }) {
    this.#directory = place.directory;
    this.#isTemporary = place.isTemporary;
    this.#args = place.args;
    this.socketPath = place.socketPath;
    this.url = `unix://${place.socketPath}`;
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error("the private Redis is not running");
    return pid;
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    if (signal === "SIGSTOP" || signal === "SIGCONT") {
      child.kill(signal);
      return;
    }
    const exited = child.exitCode !== null || child.signalCode !== null ? undefined : once(child, "exit");
    child.kill(signal);
    await exited;
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child !== undefined) {
      child.kill("SIGCONT"); // a stopped process would not see SIGTERM
      await endProcess(child, "SIGTERM", STOP_GRACE_MS);
    }
    if (this.#isTemporary) await rm(this.#directory, { recursive: true, force: true });
  }

  async restart(): Promise<void> {
    if (this.#child !== undefined) {
      this.#child.kill("SIGCONT");
      await endProcess(this.#child, "SIGTERM", STOP_GRACE_MS);
    }
    const { server, environment } = await findRedis();
    const place = [
      "--port",
      "0",
      "--unixsocket",
      this.socketPath,
      "--unixsocketperm",
      "700",
      "--dir",
      this.#directory,
    ];
    const quiet = ["--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning"];
    const child = startGuarded(server, [...place, ...quiet, ...this.#args], {
      env: { ...process.env, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
      ...(this.#isTemporary ? { directory: this.#directory } : {}),
    });
    this.#child = child;
    await untilReady(child, this.socketPath);
  }
}

async function untilReady(child: ChildProcess, socketPath: string): Promise<void> {
  let output = "";
  const collect = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-4096);
  };
  child.stdout?.on("data", collect);
  child.stderr?.on("data", collect);
  const failures: string[] = [];
  child.once("error", (error) => failures.push(error.message));
  child.once("exit", (code, signal) => failures.push(`it ended with ${signal ?? code}`));
  const deadline = performance.now() + READY_TIMEOUT_MS;
  while (failures.length === 0 && performance.now() < deadline) {
    if (await answersPing(socketPath)) return;
    await delay(5);
  }
  child.kill("SIGKILL");
  const reason = failures[0] ?? `no answer in ${READY_TIMEOUT_MS} ms`;
  throw new Error(`redis-server did not start: ${reason}\n${output}`);
}

/** While the server still loads its files it answers `-LOADING`, which is not ready either. */
async function answersPing(socketPath: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once("connect", () => socket.write("PING\r\n"));
    socket.once("data", (answer) => {
      socket.destroy();
      resolve(answer.toString().startsWith("+PONG"));
    });
    socket.once("error", () => resolve(false));
    socket.once("close", () => resolve(false));
  });
}

async function borrowRedis(url: string): Promise<PrivateRedis> {
  const path = url.startsWith("unix://") ? url.slice("unix://".length) : undefined;
  const redis = path === undefined ? new Redis(url) : new Redis({ path });
  redis.on("error", () => undefined); // the command below reports it
  const size = await redis.dbsize();
  if (size > 0) {
    redis.disconnect();
    throw new Error(`GATEHOUSE_TEST_REDIS_URL names a server that holds ${size} keys; it must be empty`);
  }
  const notOurs = async (): Promise<never> => {
    throw new Error(
      "the server named by GATEHOUSE_TEST_REDIS_URL is not ours to stop; unset it for this test",
    );
  };
  let isOpen = true;
  return {
    url,
    socketPath: path ?? "",
    get pid(): number {
      throw new Error("the server named by GATEHOUSE_TEST_REDIS_URL is not a child of this process");
    },
    kill: notOurs,
    restart: notOurs,
    stop: async () => {
      if (!isOpen) return;
      isOpen = false;
      await redis.flushall();
      redis.disconnect();
    },
  };
}
