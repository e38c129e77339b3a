import { join } from "node:path";
import type { Hostname } from "@gatehouse/shared/hostname";
import type { SealingKeys } from "@gatehouse/shared/sealing";
import { readStateFile, writeStateFile } from "@gatehouse/shared/state-file";

/** The Redis values an instance needs to start without Redis, as they stood there. */
export interface Snapshot {
  /** The last good host config; null when it was deleted. */
  readonly hostConfig: string | null;
  readonly route: string | null;
  readonly certificate: string | null;
  /** As in Redis, where the private one is sealed once more. */
  readonly signingKeys: string | null;
}

/**
 * What an instance knew, kept for a start while Redis is away. Sealed as a whole, because a host config holds secrets and a disk is
 * copied more easily than a process.
 */
export class SnapshotFile {
  readonly #path: string;
  readonly #name: string;
  readonly #keys: SealingKeys;
  /** What is to be written next, and what was written last. */
  #wanted: string | undefined;
  #written: string | undefined;
  #writing: Promise<void> | undefined;
  #problem: string | undefined;

  constructor(directory: string, hostname: Hostname, keys: SealingKeys) {
    this.#name = `snapshot:instance:${hostname}`;
    this.#path = join(directory, `instance-${hostname}.snapshot`);
    this.#keys = keys;
  }

  /** Why the last write failed, if it did. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Returns the snapshot; undefined when there is none, or none that the present keys open. Never rejects. */
  async read(): Promise<Snapshot | undefined> {
    try {
      const sealed = await readStateFile(this.#path);
      const text = sealed === undefined ? undefined : this.#keys.open(this.#name, sealed)?.toString();
      return text === undefined ? undefined : toSnapshot(JSON.parse(text));
    } catch (error) {
      // A parser quotes what it read, and this holds the secrets of the host config.
      this.#problem = error instanceof SyntaxError ? "it is not JSON" : (error as Error).message;
      return undefined;
    }
  }

  /** Writes in the background, one write at a time, the newest content last. Never throws: {@link problem} tells. */
  write(snapshot: Snapshot): void {
    this.#wanted = JSON.stringify(snapshot);
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined;
    });
  }

  /** Resolves when nothing is being written. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    while (this.#wanted !== this.#written) {
      const content = this.#wanted;
      try {
        if (content !== undefined) await writeStateFile(this.#path, this.#keys.seal(this.#name, content));
        this.#problem = undefined;
      } catch (error) {
        this.#problem = (error as Error).message;
      }
      // Not tried again with the same content: a full disk gets its next chance with the next change.
      this.#written = content;
    }
  }
}

function toSnapshot(value: unknown): Snapshot | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const text = (name: keyof Snapshot): string | null => {
    const found: unknown = Reflect.get(value, name);
    return typeof found === "string" ? found : null;
  };
  return {
    hostConfig: text("hostConfig"),
    route: text("route"),
    certificate: text("certificate"),
    signingKeys: text("signingKeys"),
  };
}
