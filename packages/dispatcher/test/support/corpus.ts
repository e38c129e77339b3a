import { readFileSync } from "node:fs";
import { join } from "node:path";

/** One captured hello; `facts` are what stands out in its octets, as an independent reader saw them at the capture. */
export interface CorpusEntry {
  readonly file: string;
  readonly client: string;
  readonly version: string;
  readonly octets: number;
  readonly facts: readonly string[];
}

/** Where `pnpm corpus:capture` puts the hellos. */
export const CORPUS: string = join(import.meta.dirname, "../corpus");

export const CORPUS_ENTRIES: readonly CorpusEntry[] = JSON.parse(
  readFileSync(join(CORPUS, "manifest.json"), "utf8"),
) as CorpusEntry[];

export function flightOf({ file }: CorpusEntry): Buffer {
  return readFileSync(join(CORPUS, file));
}
