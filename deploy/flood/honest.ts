/** What the honest traffic is told, as its argument in JSON. */
export interface HonestOrder {
  readonly port: number;
  readonly hostname: string;
  readonly caPem: string;
  readonly token: string;
  readonly localAddress: string;
}

/** One kind of honest traffic in one phase. */
export interface Measured {
  readonly sent: number;
  readonly answered: number;
  /** Milliseconds from when it was due, of those that were answered. */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export const HONEST_KINDS = ["new connections", "kept connections"] as const;
export type HonestKind = (typeof HONEST_KINDS)[number];

/** What it prints in JSON when it is over. */
export interface HonestReport {
  readonly phases: Readonly<Record<string, Readonly<Record<HonestKind, Measured>>>>;
  /** Of the event streams that were open from the beginning. */
  readonly streams: { readonly open: number; readonly ended: number };
}
