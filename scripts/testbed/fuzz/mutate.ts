/** Small, fast and the same on every machine (mulberry32): a run can be repeated from its seed. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** An integer from 0 up to and without `bound`. */
  below(bound: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000) * bound);
  }

  pick<Value>(values: readonly Value[]): Value | undefined {
    return values[this.below(values.length)];
  }
}

interface Material {
  readonly corpus: readonly Buffer[];
  readonly words: readonly Buffer[];
  readonly maxBytes: number;
}

/** Octets at the edges of what parsers tell apart. */
const EDGES = Buffer.from("00010a0d1f20222325262a2b2c2d2e2f303a3b3d3f405b5c5d617a7f80ff", "hex");
const MAX_CHANGES = 6;

type Change = (input: Buffer, random: Random, material: Material) => Buffer;

const CHANGES: readonly Change[] = [
  // One bit, one octet, one number of two octets by a little.
  (input, random) =>
    edited(input, (copy, at) => (copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8))), random),
  (input, random) => edited(input, (copy, at) => (copy[at] = EDGES[random.below(EDGES.length)] ?? 0), random),
  (input, random) => edited(input, (copy, at) => (copy[at] = random.below(256)), random),
  (input, random) =>
    edited(
      input,
      (copy, at) => {
        if (at + 2 <= copy.length)
          copy.writeUInt16BE((copy.readUInt16BE(at) + random.below(9) + 65_532) & 0xffff, at);
      },
      random,
    ),
  // A stretch removed, doubled, moved.
  (input, random) => {
    const [start, end] = stretch(input, random);
    return Buffer.concat([input.subarray(0, start), input.subarray(end)]);
  },
  (input, random) => {
    const [start, end] = stretch(input, random);
    return splice(input, random.below(input.length + 1), input.subarray(start, end));
  },
  // Octets, a word of the format, a stretch of another input put in.
  (input, random) => {
    const octets = Buffer.from(Array.from({ length: 1 + random.below(4) }, () => random.below(256)));
    return splice(input, random.below(input.length + 1), octets);
  },
  putWord,
  putWord,
  overwriteWithWord,
  (input, random, { corpus }) => {
    const other = random.pick(corpus) ?? input;
    const [start, end] = stretch(other, random);
    return splice(input, random.below(input.length + 1), other.subarray(start, end));
  },
  // The beginning of one, the end of another.
  (input, random, { corpus }) => {
    const other = random.pick(corpus) ?? input;
    const head = input.subarray(0, random.below(input.length + 1));
    return Buffer.concat([head, other.subarray(random.below(other.length + 1))]);
  },
];

/** Another input made from one of the corpus by a few changes. */
export function mutate(random: Random, material: Material): Buffer {
  let input = random.pick(material.corpus) ?? Buffer.alloc(0);
  for (let left = 1 + random.below(MAX_CHANGES); left > 0; left--)
    input = random.pick(CHANGES)?.(input, random, material) ?? input;
  return input.length > material.maxBytes ? Buffer.from(input.subarray(0, material.maxBytes)) : input;
}

function putWord(input: Buffer, random: Random, { words }: Material): Buffer {
  return splice(input, random.below(input.length + 1), random.pick(words) ?? Buffer.alloc(0));
}

function overwriteWithWord(input: Buffer, random: Random, { words }: Material): Buffer {
  const word = random.pick(words) ?? Buffer.alloc(0);
  const at = random.below(input.length + 1);
  return Buffer.concat([input.subarray(0, at), word, input.subarray(at + word.length)]);
}

function edited(input: Buffer, edit: (copy: Buffer, at: number) => void, random: Random): Buffer {
  if (input.length === 0) return input;
  const copy = Buffer.from(input);
  edit(copy, random.below(copy.length));
  return copy;
}

function stretch(input: Buffer, random: Random): [start: number, end: number] {
  const start = random.below(input.length + 1);
  return [start, Math.min(input.length, start + 1 + random.below(32))];
}

function splice(input: Buffer, at: number, piece: Buffer): Buffer {
  return Buffer.concat([input.subarray(0, at), piece, input.subarray(at)]);
}
