/** The tenth look is the first that goes through an inline cache; the others are for a V8 that waits longer. */
const LOOKS = 1_000;

/**
 * Call it behind everything that may have extended `String`. V8 keeps a prototype that a class extends as a hash table until an inline cache
 * has met it behind an object, and strings are no objects: ioredis' `class VerbatimString extends String` left `length` and `charCodeAt` of
 * every string in the process at a sixth of their speed. So it is met here.
 */
export function keepStringsFast(): void {
  const text: unknown = Object("");
  for (let count = 0; count < LOOKS; count++) lookAt(text);
}

function lookAt(object: unknown): number {
  return (object as string).length;
}
