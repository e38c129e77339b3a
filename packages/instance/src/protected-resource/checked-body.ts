import { isReset } from "../http2-stream.ts";
import type { Request } from "../refusal.ts";

/** Most octets of a body that are held to look at it (contract section 5). */
export const MAX_CHECKED_BYTES = 256 * 1024;
/** Milliseconds a body may take that has to be looked at as a whole. */
const BODY_TIMEOUT_MS = 60_000;

export type BodyRead =
  | { readonly kind: "body"; readonly body: Buffer }
  | { readonly kind: "too_large" | "timeout" | "aborted" };

/** Reads a request's body as a whole, up to the bound; what comes behind it is left. Never rejects. */
export async function readCheckedBody(request: Request): Promise<BodyRead> {
  // The peer may have left while its token was looked at; then nothing more is heard of it.
  if (request.destroyed) return { kind: "aborted" };
  const { promise, resolve } = Promise.withResolvers<BodyRead>();
  const chunks: Buffer[] = [];
  let bytes = 0;
  const onData = (chunk: Buffer): void => {
    bytes += chunk.length;
    chunks.push(chunk);
    if (bytes > MAX_CHECKED_BYTES) resolve({ kind: "too_large" });
  };
  const onEnd = (): void => {
    resolve(isReset(request) ? { kind: "aborted" } : { kind: "body", body: Buffer.concat(chunks) });
  };
  const onGone = (): void => resolve({ kind: "aborted" });
  const timer = setTimeout(() => resolve({ kind: "timeout" }), BODY_TIMEOUT_MS);
  request.on("data", onData).on("end", onEnd).on("close", onGone).on("error", onGone);
  const read = await promise;
  clearTimeout(timer);
  request.off("data", onData).off("end", onEnd).off("close", onGone);
  return read;
}
