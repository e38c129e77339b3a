import type { Socket } from "node:net";

/** What the step in charge of a connection does about its peer. */
export interface PeerListener {
  onPeerData(chunk: Buffer): void;
  /** The peer has sent its FIN. */
  onPeerEnd(): void;
  /** What was written and could not be flushed at once is. */
  onPeerDrain(): void;
  /** Reset. */
  onPeerError(): void;
  /** The socket is closed, for whatever reason. */
  onPeerClose(): void;
}

/** When nobody is in charge, or somebody with listeners of its own. */
export const NO_LISTENER: PeerListener = {
  onPeerData: ignore,
  onPeerEnd: ignore,
  onPeerDrain: ignore,
  onPeerError: ignore,
  onPeerClose: ignore,
};

function ignore(): void {
  // An error without any listener would end the process.
}

/** Listens to a socket once, for one step after the other: to put listeners on and off costs more than most of them do. */
export class PeerEvents {
  listener: PeerListener;

  constructor(peer: Socket, first: PeerListener) {
    this.listener = first;
    peer
      .on("data", (chunk: Buffer) => this.listener.onPeerData(chunk))
      .on("end", () => this.listener.onPeerEnd())
      .on("drain", () => this.listener.onPeerDrain())
      .on("error", () => this.listener.onPeerError())
      .on("close", () => this.listener.onPeerClose());
  }
}
