import type { Kind } from "./attempts.ts";
import type { Bed, Host, Place } from "./bed.ts";

/** Something that goes wrong for a while. */
export interface Fault {
  /** As the command line has it. */
  readonly name: string;
  /** As the table has it. */
  readonly title: string;
  /** Seconds between its beginning and its end; 0 for what is over as soon as it happened. */
  readonly seconds: number;
  /** Hosts whose streams it may end; all others survive. */
  readonly touches: readonly Host[];
  /** What must not fail at all. */
  readonly spares: readonly Kind[];
  /** Roles of processes that end and are started again; all others run on. */
  readonly restarts?: readonly string[];
  /** Access tokens may expire meanwhile. */
  readonly mayExpire?: boolean;
  /** Access tokens that are issued meanwhile end with it. */
  readonly endsItsTokens?: boolean;
  /** It is so long that TCP's own pauses between retransmissions outlast it: streams that were open go on when TCP tries again. */
  readonly isOutlastedByTcp?: boolean;
  /** Why this machine can't do it; undefined when it can. */
  readonly missing?: () => string | undefined;
  /** The bed it needs; made for it alone. */
  readonly place?: () => Promise<Place>;
  /** Makes it happen; returns what ends it. */
  inject(bed: Bed): Promise<() => Promise<void>>;
}

export const NOTHING_TO_END = async (): Promise<void> => undefined;
