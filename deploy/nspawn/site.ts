import { spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { appendFile, chmod, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  createCertificateAuthority,
  type CertificateAuthority,
} from "@gatehouse/testbed/certificate-authority";
import type { Machine } from "./machine.ts";

/** Three hosts: one whose streams may outlive a restart by ten minutes, and one that ends them after two seconds, */
export const LASTING = "lasting.example.com";
export const BRIEF = "brief.example.com";
/** and one whose socket can't have its name: 102 octets. */
export const LONG = `${"a".repeat(60)}.${"b".repeat(29)}.example.com`;
/** One that `gatehouse host add` makes, with a certificate from here. */
export const ADDED = "added.example.com";
export const HOSTS = [LASTING, BRIEF, LONG] as const;
const DRAIN_SECONDS: Readonly<Record<string, number>> = { [LASTING]: 600, [BRIEF]: 2, [LONG]: 2 };
/** Of the two places of {@link LASTING}. */
export const ADMIN_PORTS = { "gatehouse-instance": 9201, "gatehouse-instance-b": 9202 } as const;
export const UPSTREAM_PORT = 3000;
const CERTIFICATES = "etc/gatehouse/tls";
/** Where the certificates really are: behind links, so that only a HUP and no watch on the directory sees a new one. */
export const STORED = "etc/gatehouse/tls-store";
export const UNITS = "/usr/local/bin/gatehouse-units";
const TLS_GROUP = "gatehouse-tls";

/** What an operator sets up in a machine besides running the installer. */
export class Site {
  readonly #root: string;
  readonly #installer: string;
  readonly redisPassword: string = randomBytes(24).toString("hex");
  authority: CertificateAuthority | undefined;

  constructor(root: string, repository: string) {
    this.#root = root;
    this.#installer = join(repository, "deploy/install.sh");
  }

  get redisUrl(): string {
    return `redis://:${this.redisPassword}@127.0.0.1:6379`;
  }

  /** @throws when the installer fails */
  install(): string {
    const { status, stderr } = spawnSync(this.#installer, ["--root", this.#root], { encoding: "utf8" });
    if (status !== 0) throw new Error(`install.sh: status ${status}\n${stderr}`);
    return stderr;
  }

  /** One hash over names and contents of all settings and secrets. */
  async settingsHash(): Promise<string> {
    const hash = createHash("sha256");
    const entries = await readdir(join(this.#root, "etc/gatehouse"), {
      recursive: true,
      withFileTypes: true,
    });
    const files = entries
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name));
    for (const path of files.toSorted()) hash.update(path).update(await readFile(path));
    return hash.digest("hex");
  }

  /** Before the first boot: Redis with a password, credentials, certificates, an env file for each host. */
  async configure(): Promise<void> {
    const path = (...parts: string[]): string => join(this.#root, ...parts);
    await appendFile(path("etc/redis/redis.conf"), `\nrequirepass ${this.redisPassword}\n`);
    await writeFile(path("etc/gatehouse/credentials/REDIS_URL"), `${this.redisUrl}\n`, { mode: 0o600 });
    await mkdir(path(CERTIFICATES), { recursive: true });
    await mkdir(path(STORED), { recursive: true });
    for (const host of HOSTS) {
      for (const kind of ["pem", "key"])
        await symlink(`/${STORED}/${host}.${kind}`, path(CERTIFICATES, `${host}.${kind}`));
      const env = {
        GATEHOUSE_CERTIFICATE_FILE: `/${CERTIFICATES}/${host}.pem`,
        GATEHOUSE_CERTIFICATE_KEY_FILE: `/${CERTIFICATES}/${host}.key`,
        GATEHOUSE_INSTANCE_DRAIN_SECONDS: String(DRAIN_SECONDS[host]),
      };
      const lines = Object.entries(env).map(([name, value]) => `${name}=${value}\n`);
      await writeFile(path("etc/gatehouse/hosts", `${host}.env`), lines.join(""));
    }
    for (const [place, port] of Object.entries(ADMIN_PORTS)) {
      const text = `GATEHOUSE_INSTANCE_ADMIN_LISTEN=${port}\n`;
      await writeFile(path("etc/gatehouse/hosts", `${place}@${LASTING}.env`), text);
    }
    await this.issue();
    await this.#dropIns();
  }

  /** New certificates for all hosts, from an authority of their own. */
  async issue(): Promise<void> {
    this.authority ??= await createCertificateAuthority(join(this.#root, "root/ca"));
    for (const host of [...HOSTS, ADDED]) {
      const { certPem, keyPem } = await this.authority.issue([host]);
      await writeFile(join(this.#root, STORED, `${host}.pem`), certPem);
      await writeFile(join(this.#root, STORED, `${host}.key`), keyPem);
      await chmod(join(this.#root, STORED, `${host}.key`), 0o640);
    }
  }

  /** As docs/operations.md says: a group for who reads the keys. The short watchdog is this test's own. */
  async #dropIns(): Promise<void> {
    for (const template of ["gatehouse-instance@", "gatehouse-instance-b@"]) {
      const directory = join(this.#root, `etc/systemd/system/${template}.service.d`);
      await mkdir(directory, { recursive: true });
      await writeFile(join(directory, "tls.conf"), `[Service]\nSupplementaryGroups=${TLS_GROUP}\n`);
      await writeFile(join(directory, "watchdog.conf"), "[Service]\nWatchdogSec=4s\n");
    }
  }

  /** In the running machine: the group, host configs and routes, the units of all hosts. */
  async start(machine: Machine): Promise<void> {
    await machine.must("groupadd", "--system", TLS_GROUP);
    await this.grantKeys(machine);
    for (const host of HOSTS) {
      const config = { target_url: `http://127.0.0.1:${UPSTREAM_PORT}`, certificate: "file" };
      await this.#redis(machine, "SET", `proxy:${host}`, JSON.stringify(config));
      await this.#redis(machine, "SET", `route:${host}`, `unix:/run/gatehouse/${host}.sock`);
      await machine.must(UNITS, "enable", "instance", host);
    }
  }

  async grantKeys(machine: Machine): Promise<void> {
    await machine.must("chgrp", "-R", TLS_GROUP, `/${STORED}`);
  }

  #redis(machine: Machine, ...command: string[]): Promise<string> {
    return machine.must("redis-cli", "--no-auth-warning", "-a", this.redisPassword, ...command);
  }
}
