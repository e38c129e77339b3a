import { parseHostname } from "@gatehouse/shared/hostname";
import { parseRoute, type Route } from "@gatehouse/shared/route";
import { RecentMap } from "@gatehouse/shared/recent-map";

/**
 * What is known of a server name. `bad` is a route whose value can't be used: it never falls through to a wildcard, which could be
 * somebody else's server. `unknown` is said only while Redis is away.
 */
export type RouteAnswer =
  | { readonly kind: "route"; readonly route: Route; readonly name: string }
  | { readonly kind: "none" }
  | { readonly kind: "bad"; readonly name: string; readonly problem: string }
  | { readonly kind: "unknown" };

/** What one Redis key said when it was read. */
export interface KnownRoute {
  /** The value as it is in Redis; undefined when there was none. */
  readonly text: string | undefined;
  readonly answer: Exclude<RouteAnswer, { kind: "unknown" }>;
  /** The generation in which it was read; it is current as long as that is the memory's own. */
  generation: number;
}

/** A value longer than this names more than the 64 targets a route may have; no more of it is kept. */
const MAX_TEXT_LENGTH = 20_000;

/** Generation of what is known but no longer vouched for: read from the snapshot, or told to have changed. */
const STALE = -1;

export interface RouteMemoryOptions {
  /** Routes kept; the least recently used go first. */
  readonly maxRoutes: number;
  /** Names kept that have no route; apart from the routes, so that invented names can't displace them. */
  readonly maxAbsent: number;
  /** Called once for each change to a value that can't be used. */
  readonly onBadRoute: (name: string, problem: string) => void;
  /** Called when a route was learned, changed or gone, and when {@link RouteMemory.isComplete} changed. */
  readonly onChanged: () => void;
}

/**
 * The routes this process knows, by name (`simple.example.com`, `*.example.com`, `*`), and the names it knows to have none. What is
 * known outlives its trust: beginning a new generation costs the same for a million routes as for one, and the old values still
 * serve while Redis is away.
 */
export class RouteMemory {
  readonly #options: RouteMemoryOptions;
  readonly #routes: RecentMap<KnownRoute>;
  readonly #absent: RecentMap<KnownRoute>;
  #generation = 0;
  #isComplete = false;

  constructor(options: RouteMemoryOptions) {
    this.#options = options;
    this.#routes = new RecentMap(options.maxRoutes);
    this.#absent = new RecentMap(options.maxAbsent);
  }

  /** True when every route there was at the last sight of Redis is kept here, so that a name that is not here had none. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  set isComplete(value: boolean) {
    if (value === this.#isComplete) return;
    this.#isComplete = value;
    this.#options.onChanged();
  }

  get generation(): number {
    return this.#generation;
  }

  /** Routes that fit without displacing one. */
  get room(): number {
    return this.#routes.room;
  }

  /** Ends the trust in all that is known. */
  beginGeneration(): void {
    this.#generation += 1;
  }

  /** Returns what is known, current or not, and counts as a use. */
  recall(name: string): KnownRoute | undefined {
    return this.#routes.get(name) ?? this.#absent.get(name);
  }

  isCurrent(known: KnownRoute | undefined): known is KnownRoute {
    return known?.generation === this.#generation;
  }

  hasRoute(name: string): boolean {
    return this.#routes.peek(name) !== undefined;
  }

  hasCurrentRoute(name: string): boolean {
    return this.isCurrent(this.#routes.peek(name));
  }

  /** Returns what a value means, without keeping it. */
  interpret(name: string, text: string | undefined): KnownRoute {
    if (text === undefined) return { text, answer: { kind: "none" }, generation: STALE };
    const kept = text.slice(0, MAX_TEXT_LENGTH + 1);
    const before = this.#routes.peek(name);
    if (before?.text === kept) return before;
    const parsed =
      text.length > MAX_TEXT_LENGTH
        ? ({ ok: false, problem: `the value has ${text.length} characters` } as const)
        : parseRoute(text);
    const answer = parsed.ok
      ? ({ kind: "route", route: parsed.route, name } as const)
      : ({ kind: "bad", name, problem: parsed.problem } as const);
    return { text: kept, answer, generation: STALE };
  }

  /** Keeps what was read in the given generation; a reading of an earlier one is ignored. */
  learn(name: string, text: string | undefined, generation: number): void {
    if (generation !== this.#generation) return;
    this.#keep(name, text, generation);
  }

  /** Keeps what an earlier process knew, to serve only while Redis is away. */
  learnStale(name: string, text: string): void {
    this.#keep(name, text, STALE);
  }

  /** The name's key was written: what is known of it is no longer vouched for. */
  distrust(name: string): void {
    this.#absent.delete(name);
    const route = this.#routes.peek(name);
    if (route !== undefined) route.generation = STALE;
  }

  /** The names of all routes, the least recently used first. */
  routeNames(): string[] {
    return this.#routes.keys();
  }

  /** The value of a route as it is in Redis. */
  textOf(name: string): string | undefined {
    return this.#routes.peek(name)?.text;
  }

  #keep(name: string, text: string | undefined, generation: number): void {
    const known = this.interpret(name, text);
    known.generation = generation;
    if (known.text === undefined) {
      this.#absent.set(name, known);
      if (this.#routes.delete(name)) this.#options.onChanged();
      return;
    }
    if (this.#routes.peek(name) === known) return;
    this.#absent.delete(name);
    if (this.#routes.set(name, known) !== undefined) this.isComplete = false;
    this.#options.onChanged();
    if (known.answer.kind === "bad") this.#options.onBadRoute(name, known.answer.problem);
  }
}

/** True for what may follow `route:`: a canonical hostname, `*.` and one, or `*`. Other keys are not ours and never looked up. */
export function isRouteName(name: string): boolean {
  if (name === "*") return true;
  const hostname = name.startsWith("*.") ? name.slice(2) : name;
  const parsed = parseHostname(hostname);
  return parsed.ok && parsed.hostname === hostname;
}
