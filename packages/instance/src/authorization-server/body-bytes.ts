import type { HostContext } from "./endpoints.ts";

/** A body over the bound; its rest is not read. */
export class BodyTooLarge extends Error {
  override readonly name = "BodyTooLarge";
}

/** Reads a request's body of at most that many octets. @throws {BodyTooLarge} */
export async function readBytes(c: HostContext, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  // From Node's own stream, which must stay whole for the answer to get out when the body is too long.
  for await (const chunk of c.env.incoming.iterator({ destroyOnReturn: false })) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > maxBytes) throw new BodyTooLarge();
  }
  return Buffer.concat(chunks);
}
