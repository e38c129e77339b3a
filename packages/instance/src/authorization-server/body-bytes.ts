import type { HostContext } from "./endpoints.ts";

/** A body over the bound; its rest is not read. */
export class BodyTooLarge extends Error {
  override readonly name = "BodyTooLarge";
}

/** The peer left before its body was whole. */
export class PeerLeft extends Error {
  override readonly name = "PeerLeft";
}

/** Reads a request's body of at most that many octets. @throws {BodyTooLarge} @throws {PeerLeft} */
export async function readBytes(c: HostContext, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    // From Node's own stream, which must stay whole for the answer to get out when the body is too long.
    for await (const chunk of c.env.incoming.iterator({ destroyOnReturn: false })) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > maxBytes) throw new BodyTooLarge();
    }
  } catch (error) {
    // Nothing else makes the reading of a request fail.
    throw error instanceof BodyTooLarge ? error : new PeerLeft();
  }
  return Buffer.concat(chunks);
}

/** Returns whether no answer can reach the peer any more: its stream was reset, or its connection is closed. Half-closed is not left. */
export function peerHasLeft({ env: { incoming, outgoing } }: HostContext): boolean {
  return "stream" in incoming ? incoming.stream.destroyed : outgoing.destroyed;
}
