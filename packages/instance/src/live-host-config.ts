import type { ConfigProblem } from "@gatehouse/shared/config-error";
import { parseHostConfig, type HostConfig } from "@gatehouse/shared/host-config";
import type { Hostname } from "@gatehouse/shared/hostname";
import type { RecordLog } from "@gatehouse/shared/log-record";
import { faultOf } from "./fault.ts";

export interface LiveHostConfigOptions {
  readonly hostname: Hostname;
  readonly log: RecordLog;
  /** Puts a config in force, undefined for a deleted one. May throw: the config is then bad, and the former one stays. */
  readonly apply: (config: HostConfig | undefined) => void;
}

export interface HostConfigReport {
  /** `none`: nothing was read yet. `bad`: the document can't be used, an earlier one may be in force. `deleted`: the host is disabled. */
  readonly state: "none" | "good" | "bad" | "deleted";
  /** Never a secret's value. */
  readonly problems: readonly ConfigProblem[];
  /** True when a config is in force. */
  readonly is_serving: boolean;
}

/** The host config in force: follows the document in Redis and keeps the last good one when a new one can't be used. */
export class LiveHostConfig {
  readonly #options: LiveHostConfigOptions;
  /** The document behind {@link current}, and the one that was looked at last. */
  #goodText: string | undefined;
  #seenText: string | null | undefined;
  #current: HostConfig | undefined;
  #state: HostConfigReport["state"] = "none";
  #problems: readonly ConfigProblem[] = [];

  constructor(options: LiveHostConfigOptions) {
    this.#options = options;
  }

  /** The config in force. */
  get current(): HostConfig | undefined {
    return this.#current;
  }

  /** The last good document, for the snapshot; undefined when there is none or it was deleted. */
  get goodText(): string | undefined {
    return this.#goodText;
  }

  report(): HostConfigReport {
    return { state: this.#state, problems: this.#problems, is_serving: this.#current !== undefined };
  }

  /** Takes a document as it stands in Redis, or in the snapshot; null when the key is absent. Never throws. */
  offer(text: string | null): void {
    if (text === this.#seenText) return;
    this.#seenText = text;
    if (text === null) this.#delete();
    else this.#take(text);
  }

  /** Takes the document of a snapshot: what Redis said, if it said anything, goes on standing in the report. Never throws. */
  restore(text: string): void {
    const { state, problems } = this.report();
    this.#take(text);
    if (state === "none") this.#seenText = text;
    else [this.#state, this.#problems] = [state, problems];
  }

  #take(text: string): void {
    const parsed = parseHostConfig(text);
    if (!parsed.ok) {
      this.#reject(parsed.problems);
      return;
    }
    try {
      this.#options.apply(parsed.config);
    } catch (error) {
      this.#reject([{ key: "target_ca_pem", expected: `must be usable: ${faultOf(error)}` }]);
      return;
    }
    this.#current = parsed.config;
    this.#goodText = text;
    this.#state = "good";
    this.#problems = [];
    this.#record("info", "config_changed", "host config in force");
  }

  #reject(problems: readonly ConfigProblem[]): void {
    this.#state = "bad";
    this.#problems = problems;
    const list = problems.map(
      ({ key, expected, got }) => `${key}: ${expected}${got === undefined ? "" : `, got ${got}`}`,
    );
    const kept = this.#current ? "the last good one stays in force" : "there is none to fall back to";
    this.#record("error", "config_bad", `host config not used, ${kept}: ${list.join("; ")}`);
  }

  /**
   * A deleted config disables the host instead of keeping the last one: deleting is what an operator does to take a host off the
   * net, and the other reading would leave it open. Whoever wants to keep it does not delete it.
   */
  #delete(): void {
    const wasServing = this.#current !== undefined;
    this.#current = undefined;
    this.#goodText = undefined;
    this.#state = "deleted";
    this.#problems = [];
    this.#options.apply(undefined);
    if (wasServing) this.#record("warn", "config_changed", "host config deleted: the host is disabled (404)");
  }

  #record(level: "info" | "warn" | "error", event: "config_changed" | "config_bad", message: string): void {
    const { log, hostname } = this.#options;
    log.write({ time: Date.now(), level, component: "instance", event, hostname, message });
  }
}
