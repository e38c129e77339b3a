import { BlockCoverage } from "./block-coverage.ts";
import { mutate, Random } from "./mutate.ts";
import { latin1, problemOf, type FuzzTarget } from "./target.ts";

/** An input that broke an invariant, cut down as far as the same error lasts. */
export interface Find {
  readonly problem: string;
  readonly input: Buffer;
}

/** How far a search has come; it goes on from here, in another process too. */
export interface SearchState {
  readonly seed: number;
  readonly inputs: number;
  /** Inputs that each reached something new, in the order in which they were found. */
  readonly corpus: readonly Buffer[];
  readonly finds: readonly Find[];
}

const BATCH = 2000;
/** Of one kind more are not looked at: the first says what is wrong. */
const MAX_FINDS = 20;
const MAX_CUT_TRIES = 2000;
/** Looks at the counters for one batch: what is left over turns up in the next. */
const MAX_LOOKS = 150;

/** A search for inputs that break a target's invariants, guided by which blocks they reach. */
export class Search {
  readonly #target: FuzzTarget;
  readonly #coverage: BlockCoverage;
  readonly #words: readonly Buffer[];
  readonly #seed: number;
  readonly #corpus: Buffer[] = [];
  readonly #finds: Find[];
  #inputs: number;
  #looksLeft = 0;

  private constructor(target: FuzzTarget, state: SearchState) {
    this.#target = target;
    this.#words = target.dictionary.map((word) => latin1(word));
    this.#seed = state.seed;
    this.#inputs = state.inputs;
    this.#finds = [...state.finds];
    this.#coverage = new BlockCoverage(target.guides);
  }

  /** Begins with the target's own seeds and, where there was an earlier search, with what it had found. */
  static async start(target: FuzzTarget, state: SearchState): Promise<Search> {
    const search = new Search(target, state);
    await search.#try(target.seeds);
    search.#coverage.take(true);
    search.#corpus.push(...target.seeds);
    search.#looksLeft = state.corpus.length;
    for (const input of state.corpus) await search.#locate([input]);
    return search;
  }

  get state(): SearchState {
    const found = this.#corpus.slice(this.#target.seeds.length);
    return { seed: this.#seed, inputs: this.#inputs, corpus: found, finds: this.#finds };
  }

  get reached(): number {
    return this.#coverage.reached;
  }

  /** Tries one batch of at most `limit` inputs. */
  async step(limit: number): Promise<void> {
    const random = new Random(Math.imul(this.#seed, 0x9e37_79b1) ^ this.#inputs);
    const material = { corpus: this.#corpus, words: this.#words, maxBytes: this.#target.maxBytes };
    const batch = Array.from({ length: Math.min(limit, BATCH) }, () => mutate(random, material));
    await this.#try(batch);
    this.#inputs += batch.length;
    if (!this.#coverage.take(false)) return;
    const before = this.#corpus.length;
    this.#looksLeft = MAX_LOOKS;
    await this.#locate(batch);
    if (this.#corpus.length > before) return;
    // A block that no input reaches alone, such as what runs once only: it would be looked for in every batch.
    await this.#try(batch);
    this.#coverage.take(true);
  }

  close(): void {
    this.#coverage.close();
  }

  async #try(inputs: readonly Buffer[]): Promise<void> {
    for (const input of inputs) {
      const problem = await problemOf(this.#target, input);
      if (problem !== undefined) await this.#report(problem, input);
    }
  }

  /** Finds the inputs that reach something new by halving. */
  async #locate(inputs: readonly Buffer[]): Promise<void> {
    if (this.#looksLeft-- <= 0) return;
    await this.#try(inputs);
    const [first] = inputs;
    if (!this.#coverage.take(inputs.length === 1) || first === undefined) return;
    if (inputs.length === 1) {
      this.#corpus.push(first);
      return;
    }
    const middle = inputs.length >> 1;
    await this.#locate(inputs.slice(0, middle));
    await this.#locate(inputs.slice(middle));
  }

  async #report(problem: string, input: Buffer): Promise<void> {
    const kind = kindOf(problem);
    if (this.#finds.length >= MAX_FINDS || this.#finds.some((find) => kindOf(find.problem) === kind)) return;
    const smallest = await cutDown(input, async (smaller) => {
      const still = await problemOf(this.#target, smaller);
      return still !== undefined && kindOf(still) === kind;
    });
    this.#finds.push({ problem, input: smallest });
  }
}

/** Errors of one kind differ in the values they show. */
function kindOf(problem: string): string {
  return problem.split(": ").slice(0, 2).join(": ");
}

async function cutDown(input: Buffer, isStill: (smaller: Buffer) => Promise<boolean>): Promise<Buffer> {
  let best = input;
  let tries = 0;
  for (let size = best.length >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at < best.length && tries < MAX_CUT_TRIES; tries++) {
      const smaller = Buffer.concat([best.subarray(0, at), best.subarray(at + size)]);
      if (await isStill(smaller)) best = smaller;
      else at += size;
    }
  }
  return best;
}
