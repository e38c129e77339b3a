import type { ChildProcess } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { get } from "node:https";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createCertificateAuthority, type CertificateAuthority } from "./certificate-authority.ts";
import { endProcess, startGuarded } from "./guarded-process.ts";
import type { PebblePrograms } from "./pebble-program.ts";

/** From spawn to the first answer: 50 ms idle; the bound is for a machine with every core busy. */
const READY_TIMEOUT_MS = 20_000;
const STOP_GRACE_MS = 2000;

export interface PebbleOptions {
  /** Port that every name's TLS-ALPN-01 challenge is looked for at, on 127.0.0.1. */
  readonly tlsPort: number;
  /** The same for HTTP-01. */
  readonly httpPort: number;
  /** Faults to inject, such as `PEBBLE_WFE_NONCEREJECT`. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A real certificate authority that belongs to the caller alone; whatever name it is asked for is at 127.0.0.1. */
export interface Pebble {
  readonly directoryUrl: string;
  /** The authority of its own HTTPS certificate: another one than that of the certificates it issues. */
  readonly authority: CertificateAuthority;
  /** The root of what it issues, PEM. */
  rootPem(): Promise<string>;
  /** Ends it, with everything it knew, and starts it again on the same port with these faults. */
  restart(env?: Readonly<Record<string, string>>): Promise<void>;
  stop(): Promise<void>;
}

/** Starts pebble and its DNS server; neither outlives this process. */
export async function startPebble(programs: PebblePrograms, options: PebbleOptions): Promise<Pebble> {
  const directory = await mkdtemp(join(tmpdir(), "gatehouse-pebble-"));
  const authority = await createCertificateAuthority(directory);
  const server = new OwnPebble(programs, { ...options, directory, authority, ports: await freePorts() });
  try {
    await server.prepare();
    await server.restart(options.env);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return server;
}

interface Ports {
  readonly listen: number;
  readonly management: number;
  readonly dns: number;
  readonly dnsManagement: number;
}

class OwnPebble implements Pebble {
  readonly directoryUrl: string;
  readonly authority: CertificateAuthority;
  readonly #programs: PebblePrograms;
  readonly #place: PebbleOptions & { readonly directory: string; readonly ports: Ports };
  #pebble: ChildProcess | undefined;
  #dns: ChildProcess | undefined;

  constructor(
    programs: PebblePrograms,
    place: PebbleOptions & {
      readonly directory: string;
      readonly authority: CertificateAuthority;
      readonly ports: Ports;
    },
  ) {
    this.#programs = programs;
    this.#place = place;
    this.authority = place.authority;
    this.directoryUrl = `https://127.0.0.1:${place.ports.listen}/dir`;
  }

  async prepare(): Promise<void> {
    const { ports, tlsPort, httpPort, directory } = this.#place;
    const { certPath, keyPath } = await this.authority.issue(["127.0.0.1"]);
    const pebble = {
      listenAddress: `127.0.0.1:${ports.listen}`,
      managementListenAddress: `127.0.0.1:${ports.management}`,
      certificate: certPath,
      privateKey: keyPath,
      httpPort,
      tlsPort,
    };
    await writeFile(join(directory, "config.json"), JSON.stringify({ pebble }));
    const dns = ["-dns01", `127.0.0.1:${ports.dns}`, "-management", `127.0.0.1:${ports.dnsManagement}`];
    const off = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""];
    this.#dns = startGuarded(this.#programs.challtestsrv, [...dns, ...off], { directory });
  }

  async rootPem(): Promise<string> {
    return read(`https://127.0.0.1:${this.#place.ports.management}/roots/0`, this.authority.caPem);
  }

  async restart(env: Readonly<Record<string, string>> = {}): Promise<void> {
    if (this.#pebble) await endProcess(this.#pebble, "SIGTERM", STOP_GRACE_MS);
    const { directory, ports } = this.#place;
    const args = ["-config", join(directory, "config.json"), "-dnsserver", `127.0.0.1:${ports.dns}`];
    // Its defaults sleep up to 15 s before a check, and refuse one nonce in twenty: a test says itself what it wants to see.
    const calm = {
      PEBBLE_VA_NOSLEEP: "1",
      PEBBLE_VA_ALWAYS_VALID: "0",
      PEBBLE_WFE_NONCEREJECT: "0",
      PEBBLE_AUTHZREUSE: "0",
    };
    this.#pebble = startGuarded(this.#programs.pebble, args, { env: { ...process.env, ...calm, ...env } });
    const deadline = performance.now() + READY_TIMEOUT_MS;
    while (!(await this.#answers())) {
      if (performance.now() > deadline) throw new Error(`pebble did not start in ${READY_TIMEOUT_MS} ms`);
      await delay(10);
    }
  }

  async stop(): Promise<void> {
    for (const child of [this.#pebble, this.#dns]) {
      if (child) await endProcess(child, "SIGTERM", STOP_GRACE_MS);
    }
    await rm(this.#place.directory, { recursive: true, force: true });
  }

  async #answers(): Promise<boolean> {
    return read(this.directoryUrl, this.authority.caPem).then(
      () => true,
      () => false,
    );
  }
}

function read(url: string, ca: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(url, { ca, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      response.on("end", () => resolve(text)).on("error", reject);
    });
    request.on("error", reject);
  });
}

/** Four ports that were free a moment ago: neither program says which one it took when it is given 0. */
async function freePorts(): Promise<Ports> {
  const servers = [createServer(), createServer(), createServer(), createServer()];
  const ports: number[] = [];
  for (const server of servers) {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    ports.push((server.address() as AddressInfo).port);
  }
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  const [listen = 0, management = 0, dns = 0, dnsManagement = 0] = ports;
  return { listen, management, dns, dnsManagement };
}
