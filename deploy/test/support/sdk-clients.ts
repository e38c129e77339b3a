import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { Client as ClientV1 } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as TransportV1 } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import type { MemoryProvider } from "./memory-provider.ts";

/** Where a client goes, and how. */
export interface SdkTarget {
  readonly endpoint: URL;
  readonly fetch: typeof globalThis.fetch;
}

/** What both generations of the SDK have in common, as far as it is used here. */
export interface SdkClient {
  connect(): Promise<void>;
  /** The headers that the upstream saw of a tool call. */
  whoami(): Promise<Record<string, string>>;
  /** Goes on with what the browser came back with. */
  finish(params: URLSearchParams): Promise<void>;
  close(): Promise<void>;
}

function headersSeen({ content }: { readonly [member: string]: unknown }): Record<string, string> {
  const [{ text }] = content as [{ text: string }];
  return (JSON.parse(text) as { headers: Record<string, string> }).headers;
}

/** The first generation, 1.x. */
export function sdkV1(provider: MemoryProvider, { endpoint, fetch }: SdkTarget): SdkClient {
  const open = (): TransportV1 => new TransportV1(endpoint, { authProvider: provider, fetch });
  const client = new ClientV1({ name: "test", version: "1" });
  let transport = open();
  return {
    connect: async () => {
      transport = open();
      await client.connect(transport);
    },
    whoami: async () => headersSeen(await client.callTool({ name: "whoami", arguments: {} })),
    finish: async (params) => await transport.finishAuth(params.get("code") ?? ""),
    close: async () => await client.close(),
  };
}

/** The second generation, 2.x. */
export function sdkV2(provider: MemoryProvider, { endpoint, fetch }: SdkTarget): SdkClient {
  const open = (): StreamableHTTPClientTransport =>
    new StreamableHTTPClientTransport(endpoint, { authProvider: provider, fetch });
  const client = new Client({ name: "test", version: "1" });
  let transport = open();
  return {
    connect: async () => {
      transport = open();
      await client.connect(transport);
    },
    whoami: async () => headersSeen(await client.callTool({ name: "whoami", arguments: {} })),
    // The preferred form: it also checks the issuer (RFC 9207).
    finish: async (params) => await transport.finishAuth(params),
    close: async () => await client.close(),
  };
}
