import type { LoadResult } from "./traffic.ts";

/** @throws {Error} that says `otherwise`, unless it is so */
export function check(isSo: boolean, otherwise: string): void {
  if (!isSo) throw new Error(otherwise);
}

/** Holds that a load saw no failure, and says what it was. @throws {Error} with the failures */
export function faultless({ answered, failures, longestMs }: LoadResult): string {
  check(failures.size === 0, `failures: ${JSON.stringify([...failures])}`);
  return `${answered} new connections answered, 0 refused, 0 dropped, longest ${longestMs} ms`;
}
