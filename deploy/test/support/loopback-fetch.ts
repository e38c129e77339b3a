import { lookup } from "node:dns";
import { Agent, fetch as undiciFetch } from "undici";

/** A `fetch` for the hosts of one test, and what ends its connections. */
export interface LoopbackFetch {
  readonly fetch: typeof globalThis.fetch;
  close(): Promise<void>;
}

/** Returns a `fetch` that trusts one authority more and finds `*.localhost` on 127.0.0.1, whatever the resolver thinks of it. */
export function openLoopbackFetch(caPem: string): LoopbackFetch {
  const dispatcher = new Agent({
    connect: {
      ca: caPem,
      lookup: (name, options, answer) => {
        if (name.endsWith(".localhost")) answer(null, [{ address: "127.0.0.1", family: 4 }]);
        else lookup(name, { ...options, all: true }, answer);
      },
    },
  });
  // undici's own types differ from the global ones in name only.
  const fetch = ((url: URL | string, init?: RequestInit) =>
    undiciFetch(url, { ...(init as object), dispatcher })) as unknown as typeof globalThis.fetch;
  return { fetch, close: () => dispatcher.destroy() };
}
