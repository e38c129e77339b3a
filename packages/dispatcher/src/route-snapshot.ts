import { setImmediate as nextTurn } from "node:timers/promises";
import { readStateFile, writeStateFile } from "@gatehouse/shared/state-file";
import { isRouteName } from "./route-memory.ts";

/** Marks the file as ours; a later layout gets a higher version, and this one ignores it. */
const FORMAT = "gatehouse-routes";
const VERSION = 1;

/** Routes rendered between two turns of the event loop: under a millisecond. */
const SLICE = 1_000;

/** What a process knew of the routes, for the next one to start with while Redis is away. */
export interface SnapshotContent {
  /** True when these were all the routes there were. */
  readonly isComplete: boolean;
  /** Names and values, the least recently used first. */
  readonly routes: readonly (readonly [name: string, text: string])[];
}

/** What a snapshot is made from while the routes go on changing. */
interface SnapshotSource {
  readonly isComplete: boolean;
  routeNames(): string[];
  /** Undefined when that route has gone since. */
  textOf(name: string): string | undefined;
}

export interface SnapshotKeeperOptions {
  readonly path: string;
  /** Milliseconds from a change to the write that holds it, and so between two writes at least. */
  readonly intervalMs: number;
  readonly source: SnapshotSource;
  /** Called when the file can't be read or written; nothing else depends on it. */
  readonly onProblem: (problem: string) => void;
}

/**
 * Keeps the known routes in a file. Plain JSON, not sealed: routes hold no secret, and the dispatcher, which meets every peer before
 * anything is authenticated, is not given the key that opens secrets. Mode 0600, for they do tell how the inside is laid out.
 */
export class SnapshotKeeper {
  readonly #options: SnapshotKeeperOptions;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: SnapshotKeeperOptions) {
    this.#options = options;
  }

  /** Returns what the file holds; undefined when there is none or it is not one of ours. Never rejects. */
  async load(): Promise<SnapshotContent | undefined> {
    const { path, onProblem } = this.#options;
    try {
      const text = await readStateFile(path);
      if (text === undefined) return undefined;
      const content = parseSnapshot(text);
      if (typeof content !== "string") return content;
      onProblem(`${path} is ignored: ${content}`);
    } catch (error) {
      onProblem(`${path} can't be read: ${messageOf(error)}`);
    }
    return undefined;
  }

  /** The routes changed: they are written when the interval is over. */
  changed(): void {
    if (this.#isClosed) return;
    this.#timer ??= setTimeout(() => this.#write(), this.#options.intervalMs).unref();
  }

  /** Writes what is not written yet. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#timer !== undefined) {
      clearTimeout(this.#timer);
      this.#write();
    }
    await this.#writing;
  }

  #write(): void {
    this.#timer = undefined;
    // One after the other: of two writes at once either could be the last.
    this.#writing = this.#writing.then(async () => {
      try {
        await writeStateFile(this.#options.path, await renderSnapshot(this.#options.source));
      } catch (error) {
        this.#options.onProblem(`${this.#options.path} can't be written: ${messageOf(error)}`);
      }
    });
  }
}

/** Renders in slices, so that a hundred thousand routes hold up no connection. */
async function renderSnapshot(source: SnapshotSource): Promise<string> {
  const members: string[] = [];
  for (const [index, name] of source.routeNames().entries()) {
    if (index % SLICE === SLICE - 1) await nextTurn();
    const text = source.textOf(name);
    if (text !== undefined) members.push(`${JSON.stringify(name)}:${JSON.stringify(text)}`);
  }
  const head = { format: FORMAT, version: VERSION, complete: source.isComplete };
  return `${JSON.stringify(head).slice(0, -1)},"routes":{\n${members.join(",\n")}\n}}\n`;
}

/** Returns the content, or why the text is not a snapshot of this version. Never throws. */
export function parseSnapshot(text: string): SnapshotContent | string {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return "it is not JSON";
  }
  if (!isObject(document) || document["format"] !== FORMAT) return "it is no snapshot of routes";
  const { version, complete, routes } = document;
  if (version !== VERSION) return `its version is ${JSON.stringify(version)}, ${VERSION} is read`;
  if (typeof complete !== "boolean" || !isObject(routes)) return "a member is missing or of another type";
  const known: [string, string][] = [];
  for (const [name, value] of Object.entries(routes)) {
    if (!isRouteName(name) || typeof value !== "string") return `${JSON.stringify(name)} is no route`;
    known.push([name, value]);
  }
  return { isComplete: complete, routes: known };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
