import type { IncomingMessage } from "node:http";
import type { Chart } from "./chart.ts";
import type { Headers } from "./mcp-call.ts";

/**
 * Waited for at least. Many servers send the head with their first ping only, 15 s after the request: hence as long as the stream is to
 * last, which by default is longer than that.
 */
const HEAD_TIMEOUT_MS = 5000;

export type Held =
  | { readonly kind: "held"; readonly bytes: number }
  | { readonly kind: "status"; readonly status: number }
  | { readonly kind: "silent" }
  | { readonly kind: "ended"; readonly seconds: number };

/** Opens the endpoint's event stream and holds it for so long. */
export async function survive(
  chart: Chart,
  { headers, seconds }: { readonly headers: Headers; readonly seconds: number },
): Promise<Held> {
  let response: IncomingMessage;
  try {
    const timeoutMs = Math.max(HEAD_TIMEOUT_MS, seconds * 1000);
    response = await chart.wire.open(chart.endpoint, { headers, timeoutMs });
  } catch {
    return { kind: "silent" };
  }
  const { statusCode: status = 0, headers: fields } = response;
  if (status !== 200 || !fields["content-type"]?.startsWith("text/event-stream")) {
    response.destroy();
    return { kind: "status", status };
  }
  return await hold(response, seconds);
}

async function hold(response: IncomingMessage, seconds: number): Promise<Held> {
  const began = performance.now();
  let bytes = 0;
  const { promise, resolve } = Promise.withResolvers<Held>();
  const ended = (): void => resolve({ kind: "ended", seconds: (performance.now() - began) / 1000 });
  const enough = setTimeout(() => resolve({ kind: "held", bytes }), seconds * 1000);
  response.on("data", (chunk: Buffer) => (bytes += chunk.length));
  response.once("end", ended).once("error", ended).once("close", ended);
  return await promise.finally(() => {
    clearTimeout(enough);
    response.destroy();
  });
}
