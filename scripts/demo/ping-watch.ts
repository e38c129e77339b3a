/** Reads along with an MCP client on its event streams, for the comments that the client itself drops. */
export interface PingWatch {
  /** To be called with every response before the client gets it; returns what the client gets. */
  observe(this: void, response: Response): Response;
  /** Resolves with the text of the first ping that has come or comes. @throws when none comes within `timeoutMs` */
  next(timeoutMs: number): Promise<string>;
}

/** An SSE comment (WHATWG HTML section 9.2.5), as servers send it to keep a quiet stream open. */
const PING = /^: ?(ping - [^\r\n]*)\r?\n/m;

export function watchPings(): PingWatch {
  const { promise, resolve } = Promise.withResolvers<string>();
  return {
    observe: (response) => {
      const isStream = response.headers.get("content-type")?.startsWith("text/event-stream") ?? false;
      if (!isStream || response.body === null) return response;
      const [watched, forClient] = response.body.tee();
      // An aborted stream ends the watching; whether that was right is the client's to say.
      findPing(watched, resolve).catch(() => undefined);
      return new Response(forClient, { status: response.status, headers: response.headers });
    },
    next: async (timeoutMs) => {
      const late = Promise.withResolvers<never>();
      const timer = setTimeout(
        () => late.reject(new Error(`no ping within ${timeoutMs / 1000} s`)),
        timeoutMs,
      );
      return await Promise.race([promise, late.promise]).finally(() => clearTimeout(timer));
    },
  };
}

async function findPing(stream: ReadableStream<Uint8Array>, found: (text: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    const ping = PING.exec(text)?.[1];
    if (ping !== undefined) found(ping);
    text = text.slice(text.lastIndexOf("\n") + 1);
  }
}
