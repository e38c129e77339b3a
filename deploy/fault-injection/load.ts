import { once } from "node:events";
import { Agent } from "node:https";
import { setTimeout as delay } from "node:timers/promises";
import { connect } from "node:tls";
import { CLAUDE_REGISTRATION } from "../test/support/claude.ts";
import { exchange, type PeerRequest } from "../test/support/https-peer.ts";
import { until } from "@gatehouse/testbed/until";
import type { Attempts, Kind } from "./attempts.ts";
import { OPEN, PROTECTED, type Bed } from "./bed.ts";
import { configInForce, type Ledger } from "./ledger.ts";
import { Session } from "./session.ts";

/** Pauses between two attempts of a kind. Together some fifty requests a second: enough to meet every fault, little enough for two cores. */
const PAUSES_MS = {
  "new connections": 100,
  "kept connections": 100,
  registrations: 250,
  refreshes: 250,
  logins: 1000,
  operator: 250,
} as const satisfies Partial<Record<Kind, number>>;

const KEPT_CONNECTIONS = 4;
const REFRESH_FAMILIES = 2;

export interface LoadOptions {
  readonly bed: Bed;
  readonly attempts: Attempts;
  readonly ledger: Ledger;
  /** Tokens may end by themselves: the clock goes on by more than their life. */
  readonly mayExpire: boolean;
}

/** Everything that goes on while a fault is on, but the streams. */
export class Load {
  readonly #options: LoadOptions;
  readonly #stopping = new AbortController();
  readonly #loops: Promise<void>[] = [];
  readonly #agents = Array.from(
    { length: KEPT_CONNECTIONS },
    () => new Agent({ keepAlive: true, maxSockets: 1 }),
  );
  #written = 0;

  private constructor(options: LoadOptions) {
    this.#options = options;
  }

  /** @param session of the kept connections */
  static async start(options: LoadOptions, session: Session): Promise<Load> {
    const load = new Load(options);
    const families = await Promise.all(
      Array.from({ length: REFRESH_FAMILIES }, () => Session.start(options.bed, options.mayExpire)),
    );
    const person = await Session.start(options.bed, options.mayExpire);
    load.#arrive("new connections", () => load.#visit());
    for (const agent of load.#agents) load.#repeat("kept connections", () => load.#use(session, agent));
    for (const family of families) load.#repeat("refreshes", () => load.#refresh(family));
    load.#repeat("logins", () => load.#logIn(person));
    load.#repeat("registrations", () => load.#register());
    load.#repeat("operator", () => load.#write());
    return load;
  }

  /** Resolves when the last attempt has ended. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#loops);
    for (const agent of this.#agents) agent.destroy();
  }

  /** One after the other, with a pause. */
  #repeat(kind: keyof typeof PAUSES_MS, work: () => Promise<void>): void {
    const loop = async (): Promise<void> => {
      while (!this.#stopping.signal.aborted) {
        await this.#options.attempts.make(kind, work);
        await delay(PAUSES_MS[kind]);
      }
    };
    this.#loops.push(loop());
  }

  /** One every so often, whether the last is answered or not: as strangers come. */
  #arrive(kind: keyof typeof PAUSES_MS, work: () => Promise<void>): void {
    const loop = async (): Promise<void> => {
      const open = new Set<Promise<unknown>>();
      while (!this.#stopping.signal.aborted) {
        const attempt = this.#options.attempts.make(kind, work);
        open.add(attempt);
        void attempt.finally(() => open.delete(attempt));
        await delay(PAUSES_MS[kind]);
      }
      await Promise.all(open);
    };
    this.#loops.push(loop());
  }

  async #visit(): Promise<void> {
    expectStatus(await this.#exchange({ hostname: OPEN, path: "/hello" }), 200);
  }

  async #use(session: Session, agent: Agent): Promise<void> {
    const request = { hostname: PROTECTED, path: "/hello", agent };
    await session.ask((headers) => this.#exchange({ ...request, headers }));
  }

  async #exchange(request: PeerRequest): Promise<number> {
    const { gatehouse, patienceMs } = this.#options.bed;
    const signal = AbortSignal.timeout(patienceMs);
    return (await exchange(gatehouse, { ...request, signal })).status;
  }

  async #refresh(family: Session): Promise<void> {
    const { ledger } = this.#options;
    await family.renew();
    ledger.addTokens(family.claude, family.tokens);
  }

  async #logIn({ claude }: Session): Promise<void> {
    const { bed, ledger } = this.#options;
    const tokens = await bed.authorize(claude);
    expectStatus(tokens.status, 200);
    ledger.addTokens(claude, { access: tokens.access_token, refresh: tokens.refresh_token });
  }

  async #register(): Promise<void> {
    const { bed, ledger } = this.#options;
    const response = await bed.fetch(`${bed.origin}/register`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(CLAUDE_REGISTRATION),
    });
    const answer = (await response.json()) as Record<string, string>;
    expectStatus(response.status, 201);
    const { registration_client_uri: uri = "", registration_access_token: token = "" } = answer;
    ledger.registrations.push({ uri, token });
  }

  /** A new name, or the open host's config anew; and waits until it is in force. */
  async #write(): Promise<void> {
    const { bed, ledger, attempts } = this.#options;
    const { store } = bed.gatehouse;
    const inForce = async (ask: () => Promise<void>): Promise<void> => {
      await until(ask, () => true, attempts.patienceMs);
    };
    this.#written += 1;
    const number = this.#written;
    if (number % 2 === 0) {
      const name = `n${number}.localhost`;
      const value = (await store.get(`route:${OPEN}`)) ?? "";
      await store.set(`route:${name}`, value);
      ledger.routes.set(name, value);
      await inForce(() => reach(bed, name));
    } else {
      const key = `proxy:${OPEN}`;
      const config = JSON.parse((await store.get(key)) ?? "{}") as Record<string, unknown>;
      await store.set(key, JSON.stringify({ ...config, custom_headers: { "X-Version": String(number) } }));
      ledger.configVersion = number;
      await inForce(async () => {
        if ((await configInForce(bed)) < number) throw new Error("not in force");
      });
    }
  }
}

/** Whether a name leads to an instance at all; that its certificate is another's is no matter. */
async function reach(bed: Bed, servername: string): Promise<void> {
  const { port } = bed.gatehouse;
  const socket = connect({ host: "127.0.0.1", port, servername, rejectUnauthorized: false });
  try {
    await once(socket, "secureConnect");
  } finally {
    socket.destroy();
  }
}

function expectStatus(status: number, expected: number): void {
  if (status !== expected) throw new Error(String(status));
}
