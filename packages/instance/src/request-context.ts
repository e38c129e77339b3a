import type { TLSSocket } from "node:tls";
import type { AddressPair } from "@gatehouse/shared/address";
import type { HostConfig } from "@gatehouse/shared/host-config";

/** What one accepted connection carries from the PROXY header on: set once, before the first request is read. */
export interface ConnectionContext {
  /** `c-…` as the dispatcher made it (UNIQUE_ID TLV), or one of our own when there was none. */
  readonly id: string;
  /** The peer's own address and the one it connected to; never those of the dispatcher. */
  readonly addresses: AddressPair;
  readonly socket: TLSSocket;
}

/** One request, before it is known whether it may go on. */
export interface Arrival {
  /** `req-…`, new for every request. */
  readonly id: string;
  readonly connection: ConnectionContext;
  /** `performance.now()` when the request's headers were complete. */
  readonly startedAt: number;
}

/** What one request carries: state travels forward in it, nothing reaches back. */
export interface RequestContext extends Arrival {
  /** The host config this request began under; a later change does not alter a request that runs. */
  readonly hostConfig: HostConfig;
  /** Host or `:authority` as the peer named it, port included: validated to be this hostname. */
  readonly host: string;
}

/** Returns the origin that a request was made to (RFC 6454 section 6.2), however the peer has spelt it. */
export function ownOrigin({ host }: Pick<RequestContext, "host">): string {
  // Letter case, an empty port and zeros before one are the parser's; a name that ends with a dot is the same host to us.
  return new URL(`https://${host}`).origin.replace(/\.(?=:|$)/, "");
}
