/** Reads along with an MCP client on its event streams, for the comments that the client itself drops. */
export interface PingWatch {
  /** To be called with every response before the client gets it; returns what the client gets. */
  observe(this: void, response: Response): Response;
  /** Resolves with the text of the first ping that comes from now on. @throws when none comes within `timeoutMs` */
  next(timeoutMs: number): Promise<string>;
}

/** An SSE comment (WHATWG HTML section 9.2.5), as servers send it to keep a quiet stream open. */
const PING = /^: ?(ping - [^\r\n]*)\r?\n/m;

export function watchPings(): PingWatch {
  const waiting = new Set<(text: string) => void>();
  const found = (text: string): void => {
    for (const resolve of waiting) resolve(text);
    waiting.clear();
  };
  return {
    observe: (response) => {
      const isStream = response.headers.get("content-type")?.startsWith("text/event-stream") ?? false;
      if (!isStream || response.body === null) return response;
      const [watched, forClient] = response.body.tee();
      // An aborted stream ends the watching; whether that was right is the client's to say.
      findPings(watched, found).catch(() => undefined);
      return new Response(forClient, { status: response.status, headers: response.headers });
    },
    next: async (timeoutMs) => {
      const { promise, resolve, reject } = Promise.withResolvers<string>();
      waiting.add(resolve);
      const timer = setTimeout(() => reject(new Error(`no ping within ${timeoutMs / 1000} s`)), timeoutMs);
      return await promise.finally(() => clearTimeout(timer));
    },
  };
}

async function findPings(stream: ReadableStream<Uint8Array>, found: (text: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    const ping = PING.exec(text)?.[1];
    if (ping !== undefined) found(ping);
    text = text.slice(text.lastIndexOf("\n") + 1);
  }
}
