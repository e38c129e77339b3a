import { watch, type FSWatcher } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { Hostname } from "@gatehouse/shared/hostname";
import { checkKeyPair, type CertificateRead } from "@gatehouse/shared/certificate";

export interface CertificateFilesOptions {
  readonly hostname: Hostname;
  readonly certificatePath: string;
  readonly keyPath: string;
  /** Told the result of each reading; a pair that does not match only once it has had time to. */
  readonly onRead: (read: CertificateRead) => void;
}

/** Quiet after the last change before the files are read: a renewal writes several. */
const SETTLE_MS = 100;
/** How long a certificate and a key that don't match are taken for a renewal in its middle. */
const MISMATCH_GRACE_MS = 2000;

/**
 * A certificate and its key in two files, read again when either changes. The directories are watched, not the files: certbot and
 * Kubernetes replace symbolic links, after which a watch on the file would look at the old one.
 */
export class CertificateFiles {
  readonly #options: CertificateFilesOptions;
  #watchers: FSWatcher[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** Readings are numbered, so that a slow one does not undo a later one. */
  #reading = 0;

  constructor(options: CertificateFilesOptions) {
    this.#options = options;
  }

  /** Reads once and watches from then on. Never rejects: what is wrong is told through `onRead`. */
  async start(): Promise<void> {
    const { certificatePath, keyPath } = this.#options;
    for (const directory of new Set([dirname(certificatePath), dirname(keyPath)])) {
      try {
        const watcher = watch(directory, { persistent: false }, () => this.#schedule(SETTLE_MS));
        // A directory that goes away ends its watch; HUP still reads the files.
        this.#watchers.push(watcher.on("error", () => watcher.close()));
      } catch {
        // No such directory: the reading below says what is missing, and HUP reads again.
      }
    }
    await this.read();
  }

  /** Reads both files now. Never rejects. */
  async read(): Promise<void> {
    await this.#read({ isFinal: false });
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#reading++;
    for (const watcher of this.#watchers) watcher.close();
    this.#watchers = [];
  }

  async #read({ isFinal }: { isFinal: boolean }): Promise<void> {
    const number = ++this.#reading;
    const read = await this.#load();
    if (number !== this.#reading) return;
    if (read.kind === "mismatch" && !isFinal) this.#schedule(MISMATCH_GRACE_MS, { isFinal: true });
    else this.#options.onRead(read);
  }

  #schedule(delayMs: number, { isFinal } = { isFinal: false }): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#read({ isFinal }), delayMs).unref();
  }

  async #load(): Promise<CertificateRead> {
    const { certificatePath, keyPath, hostname } = this.#options;
    try {
      const [chainPem, keyPem] = await Promise.all([
        readFile(certificatePath, "utf8"),
        readFile(keyPath, "utf8"),
      ]);
      return checkKeyPair({ chainPem, keyPem }, hostname);
    } catch (error) {
      return { kind: "bad", problem: `can't be read: ${(error as Error).message}` };
    }
  }
}
