import { execFile, spawnSync } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface HttpLoad {
  readonly url: string;
  /** Where to connect to in place of the URL's host: `127.0.0.1:8443`. */
  readonly address: string;
  readonly connections: number;
  readonly seconds: number;
}

export interface HttpLoadResult {
  readonly requests: number;
  /** Answers that were no 2xx, and requests without one. */
  readonly failed: number;
  readonly perSecond: number;
}

export function hasHttpLoad(): boolean {
  return spawnSync("h2load", ["--version"]).status === 0;
}

/** Loads an address with GET requests over HTTP/1.1, one at a time on each connection, with h2load (nghttp2). */
export async function httpLoad({ url, address, connections, seconds }: HttpLoad): Promise<HttpLoadResult> {
  const args = ["--h1", "-c", String(connections), "-D", String(seconds), `--connect-to=${address}`, url];
  const { stdout } = await run("h2load", args, { timeout: (seconds + 30) * 1000 });
  const number = (pattern: RegExp): number => Number(pattern.exec(stdout)?.[1] ?? Number.NaN);
  const requests = number(/(\d+) succeeded/);
  const [failed, errored] = [number(/(\d+) failed/), number(/(\d+) errored/)];
  const perSecond = number(/finished in [^,]+, ([\d.]+) req\/s/);
  if ([requests, failed, errored, perSecond].some(Number.isNaN)) throw new Error(`h2load: ${stdout}`);
  return { requests, failed: failed + errored, perSecond };
}
