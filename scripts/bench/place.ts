import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { createCertificateAuthority, type IssuedCertificate } from "@gatehouse/testbed/certificate-authority";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";
import { FreePorts } from "../demo/free-port.ts";
import { keepSecretKey } from "../demo/secret-key.ts";
import { LOAD_CORE } from "./cores.ts";
import { pinTo, putFirst } from "./process-cpu.ts";
import { NativeServer } from "./native-server.ts";

/** The name that every case is about. */
export const HOSTNAME = "bench.example";
export const LOOPBACK = "127.0.0.1";
const FIRST_PORT = 18_600;

/** What all contenders stand on: certificate, Redis, the servers behind them. */
export interface Place {
  readonly directory: string;
  readonly certificate: IssuedCertificate;
  readonly secretKeyFile: string;
  readonly store: PrivateRedis;
  readonly redis: Redis;
  /** Behind dispatchers: octets. */
  readonly sink: NativeServer;
  /** Behind instances: HTTP. */
  readonly origin: NativeServer;
  /** Returns a port of loopback that nobody listens on. */
  readonly port: () => Promise<number>;
  readonly close: () => Promise<void>;
}

/** Makes the place in a directory of its own, everything on the core of the load. */
export async function openPlace(): Promise<Place> {
  const directory = await mkdtemp(join(tmpdir(), "gatehouse-bench-"));
  const ports = new FreePorts();
  const port = async (): Promise<number> => await ports.find([LOOPBACK], FIRST_PORT);
  const endings: (() => Promise<unknown>)[] = [() => rm(directory, { recursive: true, force: true })];
  const close = async (): Promise<void> => {
    for (const end of endings.splice(0).toReversed()) await end();
  };
  try {
    const authority = await createCertificateAuthority(join(directory, "ca"));
    const store = await startPrivateRedis();
    endings.push(() => store.stop());
    pinTo(LOAD_CORE, store.pid);
    putFirst(store.pid);
    const redis = new Redis({ path: store.socketPath });
    endings.push(async () => redis.disconnect());
    const secretKeyFile = join(directory, "key");
    await keepSecretKey(secretKeyFile);
    await mkdir(join(directory, "run"));
    const sink = await NativeServer.start("sink", {
      port: await port(),
      path: join(directory, "run/sink.sock"),
    });
    endings.push(() => sink.stop());
    const origin = await NativeServer.start("origin", {
      port: await port(),
      path: join(directory, "run/origin.sock"),
    });
    endings.push(() => origin.stop());
    const certificate = await authority.issue([HOSTNAME]);
    return { directory, certificate, secretKeyFile, store, redis, sink, origin, port, close };
  } catch (error) {
    await close();
    throw error;
  }
}
