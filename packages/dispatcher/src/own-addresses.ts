import { canonicalIp } from "@gatehouse/shared/address";
import type { AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";

/** Milliseconds that the list of this machine's addresses is trusted: reading it walks every interface. */
const LOCAL_ADDRESSES_MS = 5000;

/**
 * Tells whether an address and port is one of our own listeners: a route that points there would send connections in circles. A wildcard
 * listener takes every address of this machine. What a NAT in between hides from this is caught by the hop count of the PROXY header.
 */
export class OwnAddresses {
  readonly #bound = new Set<string>();
  readonly #wildcardPorts = new Set<number>();
  #local: ReadonlySet<string> = new Set();
  #localReadAt = Number.NEGATIVE_INFINITY;

  add({ address, port }: AddressInfo): void {
    if (isWildcard(address)) this.#wildcardPorts.add(port);
    else this.#bound.add(`${canonicalIp(address)} ${port}`);
  }

  has(ip: string, port: number): boolean {
    const address = canonicalIp(ip);
    if (this.#bound.has(`${address} ${port}`)) return true;
    return this.#wildcardPorts.has(port) && (isWildcard(address) || this.#isLocal(address));
  }

  #isLocal(address: string): boolean {
    if (address.startsWith("127.")) return true;
    const now = performance.now();
    if (now - this.#localReadAt > LOCAL_ADDRESSES_MS) {
      this.#localReadAt = now;
      const infos = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
      this.#local = new Set(infos.map((info) => canonicalIp(info.address)));
    }
    return this.#local.has(address);
  }
}

/** Connecting to the unspecified address reaches this machine, on Linux at least. */
function isWildcard(address: string): boolean {
  return address === "0.0.0.0" || address === "::";
}
