import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { closeRedis, openRedis, type RedisClient } from "@gatehouse/shared/redis-connection";
import { parseAcmeChallenge } from "@gatehouse/shared/acme-challenge";
import { canonicalIp } from "@gatehouse/shared/address";
import { listen, type ListenAddress } from "@gatehouse/shared/listen-address";
import type { RecordLog } from "@gatehouse/shared/log-record";
import { acmeChallengeKey } from "@gatehouse/shared/redis-keys";
import { ConnectionLimits } from "./limits.ts";
import { hasIpv4Sibling } from "./listener.ts";
import { readPlainRequest, type PlainRequest } from "./plain-request.ts";
import type { RouteTable } from "./route-table.ts";

export interface PlainPortOptions {
  readonly routes: Pick<RouteTable, "find">;
  readonly redisUrl: string;
  /** Port that the redirect names. */
  readonly publicPort: number;
  readonly log: RecordLog;
  /** Milliseconds from accept to the end of the header; nothing behind it is read. Default 5,000. */
  readonly requestTimeoutMs?: number;
}

interface Answer {
  readonly status: 200 | 308 | 404 | 503;
  /** 308: where to. 200: the key authorization. */
  readonly text: string;
}

/** A browser's header has some hundred octets; cookies of other hosts come along. */
const MAX_HEADER_BYTES = 8192;
const REQUEST_TIMEOUT_MS = 5000;
/** How often Node looks for requests that are over their time. */
const CHECK_MS = 1000;
/** Every answer ends its connection, so this is more than a busy host sees; the kernel keeps the others waiting for a moment. */
const MAX_CONNECTIONS = 512;
/** Slow ones of one address (IPv6: one /64) leave room for an authority. */
const MAX_CONNECTIONS_PER_ADDRESS = 64;
/** An answer costs a tenth of a millisecond: what is limited by this is the record of them. As on the other port by default. */
const CONNECTIONS_PER_SECOND_PER_ADDRESS = 1000;

const ANSWERED = { event: "challenge_answered", message: "challenge answered: http-01" } as const;
const NOT_FOUND: Answer = { status: 404, text: "" };

/**
 * What a dispatcher says on port 80: an authority gets the answer to a pending HTTP-01 challenge (RFC 8555 section 8.3), a routed name
 * is sent to https, everything else is not found. A URL is built for names that have a route of their own or a wildcard one, so
 * that nobody can have us point at a name that is not served here. No request body is read, and no connection is kept.
 */
export class PlainPort {
  readonly #options: PlainPortOptions;
  readonly #servers: Server[] = [];
  readonly #limits = new ConnectionLimits({
    max: MAX_CONNECTIONS,
    maxPerAddress: MAX_CONNECTIONS_PER_ADDRESS,
    perSecondPerAddress: CONNECTIONS_PER_SECOND_PER_ADDRESS,
  });
  #redis: RedisClient | undefined;

  constructor(options: PlainPortOptions) {
    this.#options = options;
  }

  /** @throws the system's error when an address can't be bound */
  async open(addresses: readonly ListenAddress[]): Promise<readonly AddressInfo[]> {
    const { redisUrl: url, requestTimeoutMs = REQUEST_TIMEOUT_MS } = this.#options;
    this.#redis = openRedis({ url, clientName: "gatehouse-dispatcher-acme" });
    const bound: AddressInfo[] = [];
    for (const address of addresses) {
      const server = createServer(
        {
          maxHeaderSize: MAX_HEADER_BYTES,
          headersTimeout: requestTimeoutMs,
          requestTimeout: requestTimeoutMs,
          connectionsCheckingInterval: CHECK_MS,
        },
        (request, response) => void this.#serve(request, response),
      );
      server.prependListener("connection", (socket: Socket) => this.#admit(socket));
      this.#servers.push(server);
      await listen(server, address, { ipv6Only: hasIpv4Sibling(address, addresses) });
      const info = server.address();
      if (info === null || typeof info === "string") throw new Error("the plain port is a TCP port");
      bound.push(info);
    }
    return bound;
  }

  /** Accepts nothing any more. Who was accepted before gets an answer, within the time that a request may take. */
  async close(): Promise<void> {
    const closed = this.#servers.map(
      (server) => new Promise<void>((resolve) => server.close(() => resolve())),
    );
    const cutOff = setTimeout(() => {
      for (const server of this.#servers) server.closeAllConnections();
    }, this.#options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS);
    await Promise.all(closed);
    clearTimeout(cutOff);
    if (this.#redis) await closeRedis(this.#redis);
  }

  /** Shed before anything is read, as on the other port. */
  #admit(socket: Socket): void {
    const ip = canonicalIp(socket.remoteAddress ?? "::");
    if (this.#limits.admit(ip, performance.now()) !== undefined) {
      socket.resetAndDestroy();
      return;
    }
    socket.once("close", () => {
      this.#limits.leave();
      this.#limits.leaveAddress(ip);
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const startedAt = performance.now();
    const ip = request.socket.remoteAddress ?? "";
    const asked = readPlainRequest(request);
    const answer = await this.#answer(asked);
    const body = answer.status === 200 ? answer.text : "";
    response.writeHead(answer.status, {
      ...fieldsOf(answer),
      "content-length": Buffer.byteLength(body),
      "cache-control": "no-store",
      connection: "close",
    });
    response.end(request.method === "HEAD" ? undefined : body);
    this.#options.log.write({
      time: Date.now(),
      level: "info",
      component: "dispatcher",
      ...(answer.status === 200 ? ANSWERED : { event: "request_ended" }),
      // Reset before its request was read: it has no address any more.
      ...(ip === "" ? {} : { ip: canonicalIp(ip) }),
      ...(asked === undefined ? {} : { hostname: asked.hostname }),
      method: request.method ?? "",
      path: (request.url ?? "").split("?", 1)[0] ?? "",
      status: answer.status,
      duration_ms: performance.now() - startedAt,
    });
  }

  async #answer(asked: PlainRequest | undefined): Promise<Answer> {
    if (asked === undefined) return NOT_FOUND;
    if (asked.token !== undefined) return this.#challengeAnswer(asked.hostname, asked.token);
    const { publicPort, routes } = this.#options;
    const answer = await routes.find(asked.hostname);
    if (answer.kind === "unknown") return { status: 503, text: "" };
    if (answer.kind !== "route" || answer.name === "*") return NOT_FOUND;
    const port = publicPort === 443 ? "" : `:${publicPort}`;
    return { status: 308, text: `https://${asked.hostname}${port}${asked.target}` };
  }

  async #challengeAnswer(hostname: PlainRequest["hostname"], token: string): Promise<Answer> {
    let text: string | null | undefined;
    try {
      text = await this.#redis?.get(acmeChallengeKey(hostname));
    } catch {
      return { status: 503, text: "" };
    }
    const challenge = parseAcmeChallenge(text ?? "");
    const isPending = challenge?.type === "http-01" && challenge.token === token;
    return isPending ? { status: 200, text: challenge.key_authorization } : NOT_FOUND;
  }
}

function fieldsOf({ status, text }: Answer): Record<string, string> {
  switch (status) {
    case 200:
      // RFC 8555 section 8.3 names this type.
      return { "content-type": "application/octet-stream" };
    case 308:
      return { location: text };
    case 503:
      return { "retry-after": "1" };
    case 404:
      return {};
  }
}
