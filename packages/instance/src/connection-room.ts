import { WaitingLine } from "@gatehouse/shared/waiting-line";
import type { Socket } from "node:net";

/**
 * How many connections are open, and which have not asked for anything yet. At the limit the one that has waited longest with its first
 * request makes room: a peer that wants something says so at once, so that those who only connect, or shake hands, displace one another.
 */
export class ConnectionRoom {
  readonly #max: number;
  readonly #open = new Set<Socket>();
  readonly #unheard = new WaitingLine<Socket>();
  readonly #displaced = new WeakSet<Socket>();

  constructor(max: number) {
    this.#max = max;
  }

  get open(): ReadonlySet<Socket> {
    return this.#open;
  }

  /** Returns which connection there is no room for, to be destroyed: an older one, that one itself, or none. */
  enter(socket: Socket): Socket | undefined {
    const displaced = this.#open.size >= this.#max ? (this.#unheard.shift() ?? socket) : undefined;
    if (displaced !== undefined) this.#displaced.add(displaced);
    if (displaced !== socket) {
      this.#open.add(socket);
      this.#unheard.add(socket);
    }
    return displaced;
  }

  /** It has sent a request, and keeps its place from now on. */
  heard(socket: Socket): void {
    this.#unheard.delete(socket);
  }

  leave(socket: Socket): void {
    this.#open.delete(socket);
    this.#unheard.delete(socket);
  }

  /** It was ended to make room: why it failed is on record already. */
  wasDisplaced(socket: Socket): boolean {
    return this.#displaced.has(socket);
  }
}
