import { isReset } from "./http2-stream.ts";
import type { Request } from "./refusal.ts";

export interface WholeBodyBounds {
  /** Most octets that are held. */
  readonly maxBytes: number;
  /** Milliseconds in which all of it must arrive, absolute. */
  readonly timeoutMs: number;
}

export type BodyRead =
  | { readonly kind: "body"; readonly body: Buffer }
  | { readonly kind: "too_large" | "timeout" | "aborted" };

/** Reads a request's body as a whole, within the bounds; what comes behind them is left. Never rejects. */
export async function readWholeBody(
  request: Request,
  { maxBytes, timeoutMs }: WholeBodyBounds,
): Promise<BodyRead> {
  // The peer may have left while something else was looked at; then nothing more is heard of it.
  if (request.destroyed) return { kind: "aborted" };
  const { promise, resolve } = Promise.withResolvers<BodyRead>();
  const chunks: Buffer[] = [];
  let bytes = 0;
  const onData = (chunk: Buffer): void => {
    bytes += chunk.length;
    chunks.push(chunk);
    if (bytes > maxBytes) resolve({ kind: "too_large" });
  };
  const onEnd = (): void => {
    resolve(isReset(request) ? { kind: "aborted" } : { kind: "body", body: Buffer.concat(chunks) });
  };
  const onGone = (): void => resolve({ kind: "aborted" });
  const timer = setTimeout(() => resolve({ kind: "timeout" }), timeoutMs);
  request.on("data", onData).on("end", onEnd).on("close", onGone).on("error", onGone);
  const read = await promise;
  clearTimeout(timer);
  request.off("data", onData).off("end", onEnd).off("close", onGone);
  return read;
}
