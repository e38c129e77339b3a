import { OpenSet } from "@gatehouse/shared/open-set";
import { WaitingLine, type Waiter } from "@gatehouse/shared/waiting-line";
import type { Socket } from "node:net";

/** One connection, as {@link ConnectionRoom} knows it. */
export class Seat {
  readonly socket: Socket;
  /** It was ended to make room: why it failed is on record already. */
  isDisplaced = false;
  /** @internal */
  place: number | undefined;
  /** @internal */
  unheard: Waiter<Seat> | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
  }
}

/**
 * How many connections are open, and which have not asked for anything yet. At the limit the one that has waited longest with its first
 * request makes room: a peer that wants something says so at once, so that those who only connect, or shake hands, displace one another.
 */
export class ConnectionRoom {
  readonly #max: number;
  readonly #open = new OpenSet<Seat>();
  readonly #unheard = new WaitingLine<Seat>();

  constructor(max: number) {
    this.#max = max;
  }

  get open(): Iterable<Seat> & { readonly size: number } {
    return this.#open;
  }

  /** Returns which connection there is no room for, to be destroyed: an older one, that one itself, or none. */
  enter(seat: Seat): Seat | undefined {
    const displaced = this.#open.size >= this.#max ? (this.#unheard.shift() ?? seat) : undefined;
    if (displaced !== undefined) displaced.isDisplaced = true;
    if (displaced !== seat) {
      seat.place = this.#open.add(seat);
      seat.unheard = this.#unheard.add(seat);
    }
    return displaced;
  }

  /** It has sent a request, and keeps its place from now on. */
  heard({ unheard }: Seat): void {
    if (unheard !== undefined) this.#unheard.delete(unheard);
  }

  /** Once, when its socket has closed. */
  leave(seat: Seat): void {
    this.heard(seat);
    if (seat.place !== undefined) this.#open.delete(seat.place);
  }
}
