import type { BenchOptions } from "../options.ts";
import type { Place } from "../place.ts";
import type { Curve } from "../report.ts";

/** Something that grows, and what it does to what. */
export interface Growth {
  readonly name: string;
  readonly draw: (place: Place, options: BenchOptions) => Promise<readonly Curve[]>;
}
