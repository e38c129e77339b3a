export type PeerProtocol = "http/1.1" | "h2";

/** What a peer is asked to fetch, and how it gets there: nothing relies on a resolver knowing the name. */
export interface PeerTarget {
  readonly hostname: string;
  readonly address: "127.0.0.1" | "::1";
  readonly port: number;
  readonly path: string;
  readonly caPath: string;
}

/** What the peer saw; `protocol` is the one it ended up with, as it says itself. */
export interface PeerAnswer {
  readonly protocol: string;
  readonly status: number;
  readonly body: string;
}

/** A program that people really connect with. */
export interface Peer {
  readonly name: string;
  readonly protocols: readonly PeerProtocol[];
  /** Fetches once over a connection of its own, verifying the certificate; rejects when it can't. */
  fetch(target: PeerTarget, protocol: PeerProtocol): Promise<PeerAnswer>;
  close?(): Promise<void>;
}

/** A peer, or why this machine has none. */
export type FoundPeer = Peer | { readonly name: string; readonly missing: string };
