import { once } from "node:events";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "@jest/globals";
import { SealingKeys } from "@gatehouse/shared/sealing";
import { SigningKeyRing } from "../../src/oauth/signing-key.ts";
import { hostname } from "./authorization-server-harness.ts";
import { until } from "@gatehouse/testbed/until";
import { HOSTNAME, openBed, untilClosed, type Bed, type Front } from "./front-bed.ts";
import { StrictReader, type ReadRequest } from "./strict-reader.ts";
import { TokenMint } from "./token-mint.ts";

/** An attacker with an account of the least rights: may use the endpoint and `user` paths, not those that need `admin`. */
const ATTACKER = { sub: "mallory", uid: "github:666", scope: "user mcp" };
/** What the attacker wants the upstream to see: a path that it may not ask for, in the name of somebody else. */
export const SMUGGLED = `GET /admin/keys HTTP/1.1\r\nHost: ${HOSTNAME}\r\nX-Auth-User: root\r\n\r\n`;
/** A connection on which nothing more will come; the answer to a lone request is there long before. */
const QUIET_MS = 1500;

/** How a hostile upstream answers: raw octets, and whether the connection ends behind them. */
interface RawAnswer {
  readonly octets: string | Buffer;
  readonly ends?: boolean;
}

/** An upstream that keeps every octet, reads them strictly, and answers with whatever it is told to. */
class RecordingUpstream {
  readonly requests: ReadRequest[] = [];
  /** Second readings; a test that ends with one here has found a hole. */
  readonly faults: string[] = [];
  octets = "";
  answer: RawAnswer | undefined;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor() {
    this.#server = createServer((socket) => this.#read(socket));
  }

  async start(): Promise<string> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Octets that were taken from here, once nothing more is: what is written and was not is still here. */
  async written(): Promise<number> {
    const sum = (): number => {
      let taken = 0;
      for (const socket of this.#sockets) taken += socket.bytesWritten - socket.writableLength;
      return taken;
    };
    for (let [before, rounds] = [-1, 0]; ; before = sum(), rounds++) {
      if (before === sum() || rounds > 100) return sum();
      await delay(50);
    }
  }

  forget(): void {
    this.requests.length = 0;
    this.faults.length = 0;
    this.octets = "";
    this.answer = undefined;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #read(socket: Socket): void {
    const reader = new StrictReader();
    this.#sockets.add(socket);
    socket.on("error", () => undefined).on("close", () => this.#sockets.delete(socket));
    socket.on("data", (chunk: Buffer) => {
      this.octets += chunk.toString("latin1");
      try {
        for (const request of reader.push(chunk)) {
          this.requests.push(request);
          this.#reply(socket, request);
        }
      } catch (error) {
        this.faults.push(String(error));
        socket.destroy();
      }
    });
  }

  #reply(socket: Socket, { method, target }: ReadRequest): void {
    const body = `${method} ${target}`;
    const usual = `HTTP/1.1 200 OK\r\nContent-Length: ${method === "HEAD" ? 0 : body.length}\r\n\r\n${method === "HEAD" ? "" : body}`;
    const octets = this.answer?.octets ?? usual;
    socket.write(typeof octets === "string" ? Buffer.from(octets, "latin1") : octets);
    if (this.answer?.ends === true) socket.end();
  }
}

/** A protected host as it runs, TLS and PROXY header included, an attacker's token, and an upstream that keeps every octet. */
export class AttackBed {
  readonly bed: Bed;
  readonly front: Front;
  readonly upstream: RecordingUpstream;
  /** Field line with the attacker's own, good token. */
  readonly authorization: string;
  readonly token: string;

  private constructor(parts: Pick<AttackBed, "bed" | "front" | "upstream" | "token">) {
    this.bed = parts.bed;
    this.front = parts.front;
    this.upstream = parts.upstream;
    this.token = parts.token;
    this.authorization = `Authorization: Bearer ${parts.token}\r\n`;
  }

  static async open(
    config: Record<string, unknown> = {},
    env: Record<string, string> = {},
  ): Promise<AttackBed> {
    const bed = await openBed();
    const upstream = new RecordingUpstream();
    await bed.configure({
      target_url: await upstream.start(),
      auth_enabled: true,
      auth_required_users: ["*"],
      auth_excluded_paths: ["/open/*"],
      scope_rules: [{ path: "/admin/*", scope: "admin" }],
      ...config,
    });
    const front = await bed.start({ GITHUB_CLIENT_ID: "Iv1.test", GITHUB_CLIENT_SECRET: "s3cret", ...env });
    const name = hostname(HOSTNAME);
    const sealing = SealingKeys.parse(bed.secretKey, [])?.forHostname(name);
    if (sealing === undefined) throw new TypeError("bad secret");
    const keys = await SigningKeyRing.open({ redis: bed.store, hostname: name, sealing });
    const mint = new TokenMint({ name, redis: bed.store, keys });
    await mint.addClient("client_VSMC7orqn6WQoElOov-Zvw");
    return new AttackBed({ bed, front, upstream, token: await mint.token(ATTACKER) });
  }

  /** Says exactly these octets on a connection of its own; returns everything that is answered. */
  async say(text: string): Promise<string> {
    const socket = await this.front.connect({ ALPNProtocols: ["http/1.1"] });
    socket.setTimeout(QUIET_MS, () => socket.destroy());
    socket.write(Buffer.from(text, "latin1"));
    return (await untilClosed(socket)).toString("latin1");
  }

  /**
   * Requests that arrived, as `METHOD target body`, once it is certain that they are what was authorised: one reading each, one record
   * each, on behalf of the attacker or of nobody, without the token.
   */
  async arrived(): Promise<string[]> {
    const { requests, faults, octets } = this.upstream;
    await until(() => faults.length > 0 || this.#authorised().length >= requests.length);
    const paths = requests.map(({ method, target }) => `${method} ${target.replace(/\?.*/, "")}`);
    const users = requests.filter(({ target }) => !target.startsWith("/open/")).map(() => [ATTACKER.sub]);
    expect(faults).toEqual([]);
    expect(this.#authorised().toSorted()).toEqual(paths.toSorted());
    expect(this.values("x-auth-user")).toEqual(users);
    expect(this.values("authorization").flat()).toEqual([]);
    expect(octets).not.toContain(this.token);
    for (const { target, fields } of requests)
      if (target.startsWith("/open/")) expect(fields.filter(([name]) => /^x.auth/i.test(name))).toEqual([]);
    return requests.map(({ method, target, body }) => `${method} ${target} ${body}`.trimEnd());
  }

  /** Everything that was let through and answered, as the record has it: `METHOD path`. */
  #authorised(): string[] {
    return this.front.records
      .filter(({ event, upstream_ms }) => event === "request_ended" && upstream_ms !== undefined)
      .map(({ method = "", path = "" }) => `${method} ${path}`);
  }

  /** Every value of fields whose name, folded as CGI does, is this one, request by request; without those on open paths. */
  values(folded: string): string[][] {
    const guarded = this.upstream.requests.filter(({ target }) => !target.startsWith("/open/"));
    return guarded.map(({ fields }) =>
      fields
        .filter(([name]) => name.toLowerCase().replaceAll(/[^a-z0-9]/g, "-") === folded)
        .map(([, value]) => value),
    );
  }

  forget(): void {
    this.upstream.forget();
    this.front.records.length = 0;
  }

  async close(): Promise<void> {
    await this.bed.close();
    this.upstream.close();
  }
}
