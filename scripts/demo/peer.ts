import { Client, StreamableHTTPClientTransport, type FetchLike } from "@modelcontextprotocol/client";
import { Agent, fetch as undiciFetch } from "undici";

/** Where peers reach the system, and what they trust. */
export interface PeerPlace {
  /** Address of the dispatcher, IPv4 or IPv6. */
  readonly host: string;
  readonly port: number;
  readonly caPem: string;
  /** The peer's own address, where the system has more than one of its own. */
  readonly localAddress?: string;
}

/** The revisions of MCP that differ on the wire, as the SDK's client is asked for them. */
export const REVISIONS = {
  "session-based": { mode: "legacy" },
  "stateless 2026-07-28": { mode: { pin: "2026-07-28" } },
} as const;
export type Revision = keyof typeof REVISIONS;

interface McpClientOptions {
  /** Sees each response before the client does. */
  readonly watch?: ((response: Response) => Response) | undefined;
  /** The access token to send, asked for at every request. */
  readonly token?: (() => string) | undefined;
}

/**
 * A peer on this machine that behaves as if the demo's hostnames were in DNS: every connection goes to the dispatcher, with the
 * hostname as server name. (Not every system resolves `*.localhost`.)
 */
export class Peer {
  readonly #agent: Agent;
  readonly fetch: FetchLike;

  constructor(place: PeerPlace) {
    const family = place.host.includes(":") ? 6 : 4;
    this.#agent = new Agent({
      ...(place.localAddress === undefined ? {} : { localAddress: place.localAddress }),
      connect: {
        ca: place.caPem,
        lookup: (_hostname, options, callback) => {
          if (options.all) callback(null, [{ address: place.host, family }]);
          else callback(null, place.host, family);
        },
      },
    });
    this.fetch = async (url, init = {}) => await this.#fetch(url, init);
  }

  /** Only what MCP clients send: the request types of Node and of undici are two declarations that do not match. */
  async #fetch(url: string | URL, init: RequestInit): Promise<Response> {
    const { method = "GET", headers, body, signal, redirect = "follow" } = init;
    if (typeof body === "object" && body !== null) throw new TypeError("a request body must be text");
    return await undiciFetch(url, {
      method,
      headers: Object.fromEntries(new Headers(headers)),
      body: body ?? null,
      signal: signal ?? null,
      redirect,
      dispatcher: this.#agent,
    });
  }

  /** Connects an MCP client of that revision to `url`. */
  async mcpClient(url: URL, revision: Revision, { watch, token }: McpClientOptions = {}): Promise<Client> {
    const client = new Client(
      { name: "gatehouse-demo", version: "1.0.0" },
      { versionNegotiation: REVISIONS[revision] },
    );
    const fetchWatched: FetchLike = async (input, init) => {
      const response = await this.fetch(input, init);
      return watch?.(response) ?? response;
    };
    const authProvider = token && { token: async () => token() };
    await client.connect(
      new StreamableHTTPClientTransport(url, { fetch: fetchWatched, ...(authProvider && { authProvider }) }),
    );
    return client;
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }
}
