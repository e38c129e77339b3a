/** One line of a page, without its value's name. */
interface PageSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface PageFamily {
  readonly help: string;
  readonly type: string;
  readonly samples: readonly PageSample[];
}

const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const COMMENT = new RegExp(`^# (HELP|TYPE) (${NAME}) (.+)$`);
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`);
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/y;
const TYPES = new Set(["counter", "gauge", "histogram"]);
const SUFFIXES = ["_bucket", "_sum", "_count"];

/** A page of metrics, read as strictly as the text format 0.0.4 is written: what a scraper might forgive is an error here. */
export class PrometheusPage {
  readonly families: ReadonlyMap<string, PageFamily>;

  /** @throws at the first line that does not fit */
  constructor(text: string) {
    if (!text.endsWith("\n")) throw new Error("the last line has no end");
    const reader = new FamilyReader();
    for (const line of text.slice(0, -1).split("\n")) reader.take(line);
    for (const [name, family] of reader.families) checkFamily(name, family);
    this.families = reader.families;
  }

  static async scrape(adminUrl: string): Promise<PrometheusPage> {
    const response = await fetch(`${adminUrl}/metrics`);
    const type = response.headers.get("content-type");
    if (response.status !== 200 || type !== "text/plain; version=0.0.4; charset=utf-8") {
      throw new Error(`${response.status} ${type}`);
    }
    return new PrometheusPage(await response.text());
  }

  /** Names as they stand in a query, those of a histogram's parts among them. */
  get sampleNames(): ReadonlySet<string> {
    return new Set(
      [...this.families].flatMap(([name, { type }]) =>
        type === "histogram" ? SUFFIXES.map((suffix) => name + suffix) : [name],
      ),
    );
  }

  /** The sum of the samples that have these labels, and maybe more; 0 while there is none. */
  value(name: string, labels: Readonly<Record<string, string>> = {}): number {
    if (!this.sampleNames.has(name)) throw new Error(`no metric ${name}`);
    let sum = 0;
    for (const { samples } of this.families.values()) {
      for (const sample of samples) {
        const isMeant = Object.entries(labels).every(([label, value]) => sample.labels[label] === value);
        if (sample.name === name && isMeant) sum += sample.value;
      }
    }
    return sum;
  }
}

/** Puts each line where it belongs: help, then type, then samples of that family alone. */
class FamilyReader {
  readonly families = new Map<string, { help: string; type: string; samples: PageSample[] }>();
  #help: { readonly name: string; readonly text: string } | undefined;
  #current = "";

  take(line: string): void {
    const [, keyword, name = "", rest = ""] = COMMENT.exec(line) ?? [];
    if (keyword === "HELP") this.#help = { name, text: rest };
    else if (keyword === "TYPE") this.#begin(name, rest);
    else this.#add(readSample(line), line);
  }

  #begin(name: string, type: string): void {
    if (this.#help?.name !== name || !TYPES.has(type) || this.families.has(name))
      throw new Error(`misplaced type of ${name}`);
    this.families.set(name, { help: this.#help.text, type, samples: [] });
    this.#current = name;
  }

  #add(sample: PageSample, line: string): void {
    const family = this.families.get(this.#current);
    if (family === undefined || !belongs(sample.name, this.#current, family.type))
      throw new Error(`outside its family: ${line}`);
    family.samples.push(sample);
  }
}

function readSample(line: string): PageSample {
  const [, name, labelText = "", value] = SAMPLE.exec(line) ?? [];
  if (name === undefined || value === undefined || Number.isNaN(Number(value))) {
    throw new Error(`no sample: ${line}`);
  }
  const labels: Record<string, string> = {};
  for (LABEL.lastIndex = 0; LABEL.lastIndex < labelText.length;) {
    const [, label, text] = LABEL.exec(labelText) ?? [];
    if (label === undefined || text === undefined || label in labels) throw new Error(`labels: ${line}`);
    labels[label] = text;
  }
  return { name, labels, value: Number(value) };
}

function belongs(sample: string, family: string, type: string): boolean {
  return type === "histogram" ? SUFFIXES.some((suffix) => sample === family + suffix) : sample === family;
}

/** No series twice; a histogram's buckets rise to its count. */
function checkFamily(name: string, { type, samples }: PageFamily): void {
  const series = samples.map((sample) => JSON.stringify([sample.name, sample.labels]));
  if (new Set(series).size !== series.length) throw new Error(`${name} has a series twice`);
  if (type === "counter" && samples.some(({ value }) => value < 0)) throw new Error(`${name} is below zero`);
  if (type !== "histogram") return;
  const bySeries = Map.groupBy(samples, ({ labels: { le: _le, ...labels } }) => JSON.stringify(labels));
  for (const parts of bySeries.values()) {
    const buckets = parts.filter((part) => part.name === `${name}_bucket`);
    const bounds = buckets.map(({ labels }) => Number(labels["le"]?.replace("+Inf", "Infinity")));
    const isRising = (values: number[]): boolean =>
      values.every((value, i) => i === 0 || value >= (values[i - 1] ?? 0));
    const count = parts.find((part) => part.name === `${name}_count`)?.value;
    const isWhole = bounds.at(-1) === Infinity && buckets.at(-1)?.value === count;
    if (!isWhole || !isRising(bounds) || !isRising(buckets.map(({ value }) => value))) {
      throw new Error(`${name} has buckets that don't add up`);
    }
  }
}
