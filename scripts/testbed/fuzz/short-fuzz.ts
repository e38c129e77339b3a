import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { inputLine, keptInputs, latin1, problemOf, type FuzzTarget } from "./target.ts";

/**
 * Declares the tests of a short run: what was kept of earlier ones in `directory`, then inputs made by fast-check, which cuts down what fails.
 * `numRuns` is for each target; default 3000.
 */
export function shortFuzz(
  targets: readonly FuzzTarget[],
  directory: string,
  { numRuns = 3000 }: { readonly numRuns?: number } = {},
): void {
  describe.each(targets.map((target) => ({ name: target.name, target })))("$name", ({ name, target }) => {
    const bases = [...target.seeds, ...keptInputs(directory, name)];

    test("holds for its seeds, for every regression and for what long runs have kept", async () => {
      for (const base of bases)
        expect([await problemOf(target, base), inputLine(base)]).toEqual([undefined, inputLine(base)]);
    });

    test("holds for seeds that are changed here and there", async () => {
      const property = fc.asyncProperty(changed(target, bases), async (input) => {
        const problem = await problemOf(target, input);
        if (problem !== undefined) throw new Error(`${problem}, with ${inputLine(input)}`);
      });
      await fc.assert(property, { numRuns });
    }, 60_000);
  });
}

/** Seeds with stretches replaced by words of the target's dictionary, by octets or by nothing; what fails shrinks to few changes. */
function changed(target: FuzzTarget, bases: readonly Buffer[]): fc.Arbitrary<Buffer> {
  const change = fc.record({
    at: fc.noBias(fc.nat(99_999)).map((number) => number / 100_000),
    drop: fc.integer({ min: 0, max: 8 }),
    insert: fc.oneof(
      fc.uint8Array({ maxLength: 4 }).map((octets) => Buffer.from(octets)),
      fc.constantFrom(...target.dictionary).map((word) => latin1(word)),
    ),
  });
  return fc.tuple(fc.constantFrom(...bases), fc.array(change, { maxLength: 5 })).map(([base, changes]) => {
    let input = base;
    for (const { at, drop, insert } of changes) {
      const offset = Math.floor(at * (input.length + 1));
      input = Buffer.concat([input.subarray(0, offset), insert, input.subarray(offset + drop)]);
    }
    return input.subarray(0, target.maxBytes);
  });
}
