import type { Bed } from "./bed.ts";
import { OPEN } from "./bed.ts";
import { exchange } from "../test/support/https-peer.ts";
import type { Claude } from "../test/support/claude.ts";

/** Tries of one question, for an answer to be a refusal and not an accident of the network. */
const TRIES = 3;

interface Registration {
  readonly uri: string;
  readonly token: string;
}

/** What was acknowledged, so that it can be asked for afterwards. */
export class Ledger {
  readonly registrations: Registration[] = [];
  readonly #accessTokens: { readonly token: string; readonly at: number }[] = [];
  /** The newest refresh token of each client. */
  readonly refreshTokens = new Map<Claude, string>();
  /** Route values by hostname. */
  readonly routes = new Map<string, string>();
  /** The number in the last host config of the open host that was acknowledged. */
  configVersion = 0;

  get size(): number {
    const { registrations, refreshTokens, routes } = this;
    return registrations.length + this.#accessTokens.length + refreshTokens.size + routes.size + 1;
  }

  /** What the token endpoint gave a client. */
  addTokens(
    claude: Claude,
    { access, refresh }: { readonly access: string; readonly refresh: string },
  ): void {
    this.#accessTokens.push({ token: access, at: performance.now() });
    this.refreshTokens.set(claude, refresh);
  }

  /** From now on those access tokens are not asked for that were issued in a span of `performance.now`: they are known to have ended. */
  forgetAccessTokens(from: number, to: number): void {
    const kept = this.#accessTokens.filter(({ at }) => at < from || at > to);
    this.#accessTokens.splice(0, this.#accessTokens.length, ...kept);
  }

  /** Asks for everything; returns what is gone, in words. */
  async verify(bed: Bed): Promise<string[]> {
    const read = async (uri: string, token: string): Promise<number> => {
      const response = await bed.fetch(uri, { headers: { authorization: `Bearer ${token}` } });
      await response.text();
      return response.status;
    };
    const resource = `${bed.origin}/hello`;
    return [
      await missing("registration", this.registrations, ({ uri, token }) => read(uri, token)),
      await missing("access token", this.#accessTokens, ({ token }) => read(resource, token)),
      await missing(
        "refresh token",
        [...this.refreshTokens],
        async ([claude, token]) => (await claude.refresh(token)).status,
      ),
      await missing("route", [...this.routes], async ([name, value]) =>
        (await bed.gatehouse.store.get(`route:${name}`)) === value ? 200 : 404,
      ),
      await missing("host config", [this.configVersion], async (version) =>
        (await configInForce(bed)) >= version ? 200 : 404,
      ),
    ].flat();
  }
}

/** The number in the host config that the open host serves by. */
export async function configInForce(bed: Bed): Promise<number> {
  const { body } = await exchange(bed.gatehouse, { hostname: OPEN, path: "/hello" });
  const { headers } = JSON.parse(body) as { headers: Record<string, string> };
  return Number(headers["x-version"] ?? "0");
}

async function missing<T>(
  what: string,
  entries: readonly T[],
  ask: (entry: T) => Promise<number>,
): Promise<string[]> {
  const refusals: number[] = [];
  for (const entry of entries) {
    const status = await persist(() => ask(entry));
    if (status !== 200) refusals.push(status);
  }
  if (refusals.length === 0) return [];
  return [`${refusals.length} of ${entries.length} ${what}s (${[...new Set(refusals)].join(", ")})`];
}

/** An error is asked again, a refusal is an answer. */
async function persist(ask: () => Promise<number>): Promise<number> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await ask();
    } catch (error) {
      if (tries === TRIES) throw error;
    }
  }
}
