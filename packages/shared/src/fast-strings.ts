/**
 * Imported for what it does, behind everything that may extend `String`. V8 keeps a prototype that a class extends as a hash table until an
 * inline cache has met it behind an object, and strings are no objects: ioredis' `class VerbatimString extends String` left `length` and
 * `charCodeAt` of every string in the process at a sixth of their speed. So it is met here.
 */

/** The tenth look is the first that goes through an inline cache; the others are for a V8 that waits longer. */
const LOOKS = 1_000;

const text: unknown = Object("");

function lookAt(object: unknown): unknown {
  return (object as string).charCodeAt;
}

for (let count = 0; count < LOOKS; count++) lookAt(text);

export {};
