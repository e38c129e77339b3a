import { canListen } from "@gatehouse/testbed/free-ports";

/** How many ports after the preferred one are looked at. */
const RANGE = 500;

/** Another process may take a port between our look and the bind. It then has its port, so this many rivals can come first. */
const ATTEMPTS = 20;

/** Ports of one system, which starts its processes side by side. */
export class FreePorts {
  /** Given to one of our own, who may not have bound it yet. */
  readonly #given = new Set<number>();

  /** Returns `preferred` or the next port after it that is free on every one of `hosts`. @throws when all in the range are taken */
  async find(hosts: readonly string[], preferred: number): Promise<number> {
    for (let port = preferred; port < preferred + RANGE; port++) {
      if (this.#given.has(port)) continue;
      this.#given.add(port);
      const answers = await Promise.all(hosts.map((host) => canListen(host, port)));
      if (answers.every(Boolean)) return port;
    }
    throw new Error(
      `no free port between ${preferred} and ${preferred + RANGE - 1} on ${hosts.join(" and ")}`,
    );
  }

  /** Starts something on a free port, and again on the next one when somebody was faster. */
  async startOn<T>(
    hosts: readonly string[],
    preferred: number,
    start: (port: number) => Promise<T>,
  ): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const port = await this.find(hosts, preferred);
      try {
        return await start(port);
      } catch (error) {
        if (attempt === ATTEMPTS || !String(error).includes("EADDRINUSE")) throw error;
      }
    }
  }
}
