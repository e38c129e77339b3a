import { addressGroup } from "@gatehouse/shared/address-group";
import { RateLimit } from "@gatehouse/shared/rate-limit";
import { WaitingLine } from "@gatehouse/shared/waiting-line";

/** A connection that owes its hello: all that a peer had to do for it is to connect. */
export interface Waiting {
  /** Ends it at once. Called when its place is needed; its place is counted until it has left. */
  makeRoom(): void;
}

/** Why a connection is not taken. */
export type LimitReason = "too_many_connections" | "connection_rate";

export interface LimitOptions {
  /** Open at once, in all and from one address. */
  readonly max: number;
  readonly maxPerAddress: number;
  /** New ones within a second from one address, in the long run; after a rest as many at once as may be open. */
  readonly perSecondPerAddress: number;
}

/** One address: its open connections, and which of them owe their hello. */
interface Address {
  open: number;
  readonly waiting: WaitingLine<Waiting>;
}

/** Addresses whose rate is remembered. Who comes from more has slipped through, up to the limits in all. */
const MAX_RATED_ADDRESSES = 65_536;

/**
 * Counts open connections in total and per address, and new ones per address. At a limit the connection that has waited longest with
 * its hello makes room: honest peers send theirs at once, so that those who only connect displace one another. Hosted clients share few
 * addresses, so nobody is refused for what others from there have done, as long as there is such a one to end.
 */
export class ConnectionLimits {
  readonly #max: number;
  readonly #maxPerAddress: number;
  readonly #rate: RateLimit;
  readonly #addresses = new Map<string, Address>();
  readonly #waiting = new WaitingLine<Waiting>();
  #total = 0;

  constructor({ max, maxPerAddress, perSecondPerAddress }: LimitOptions) {
    this.#max = max;
    this.#maxPerAddress = maxPerAddress;
    this.#rate = new RateLimit({
      count: perSecondPerAddress,
      periodMs: 1000,
      burst: Math.max(perSecondPerAddress, maxPerAddress),
      maxKeys: MAX_RATED_ADDRESSES,
    });
  }

  get total(): number {
    return this.#total;
  }

  /** Counts one connection, or returns why it is not taken. */
  enter(): LimitReason | undefined {
    if (this.#total >= this.#max && !displaceOldest(this.#waiting)) return "too_many_connections";
    this.#total++;
    return undefined;
  }

  /** Counts one connection in total and of its address, or returns why it is not taken. */
  admit(ip: string, now: number): LimitReason | undefined {
    const ofAddress = this.enterAddress(ip, now);
    if (ofAddress !== undefined) return ofAddress;
    const inAll = this.enter();
    if (inAll !== undefined) this.leaveAddress(ip);
    return inAll;
  }

  leave(): void {
    this.#total--;
  }

  /** Counts one connection of this canonical address, or returns why it is not taken. `now` is in monotonic milliseconds. */
  enterAddress(ip: string, now: number): LimitReason | undefined {
    const group = addressGroup(ip);
    if (this.#rate.take(group, now) > 0) return "connection_rate";
    const address = this.#addresses.get(group);
    if (address === undefined) {
      this.#addresses.set(group, { open: 1, waiting: new WaitingLine() });
      return undefined;
    }
    if (address.open >= this.#maxPerAddress && !displaceOldest(address.waiting))
      return "too_many_connections";
    address.open++;
    return undefined;
  }

  leaveAddress(ip: string): void {
    const group = addressGroup(ip);
    const address = this.#addresses.get(group);
    if (address === undefined) return;
    address.open--;
    if (address.open === 0) this.#addresses.delete(group);
  }

  /** From now on that connection may have to make room, until what is returned is called. `ip`: where it is counted, if already. */
  awaitHello(connection: Waiting, ip: string | undefined): () => void {
    const ofAddress = ip === undefined ? undefined : this.#addresses.get(addressGroup(ip))?.waiting;
    const waiter = this.#waiting.add(connection);
    const waiterOfAddress = ofAddress?.add(connection);
    return () => {
      this.#waiting.delete(waiter);
      if (waiterOfAddress !== undefined) ofAddress?.delete(waiterOfAddress);
    };
  }
}

function displaceOldest(line: WaitingLine<Waiting>): boolean {
  const oldest = line.shift();
  oldest?.makeRoom();
  return oldest !== undefined;
}
