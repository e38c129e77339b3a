import type { SecureContextOptions } from "node:tls";
import type { HostConfig } from "@gatehouse/shared/host-config";
import type { Hostname } from "@gatehouse/shared/hostname";
import type { RecordLog } from "@gatehouse/shared/log-record";
import type { SealingKeys } from "@gatehouse/shared/sealing";
import { CertificateFiles } from "./certificate-files.ts";
import {
  checkKeyPair,
  readStoredCertificate,
  type Certificate,
  type CertificateRead,
} from "@gatehouse/shared/certificate";
import { sessionTicketKeys, ticketDay } from "./session-ticket-keys.ts";
import { makeStandIn } from "./stand-in-certificate.ts";
import { TLS_OPTIONS } from "./tls-accept.ts";

export interface LiveCertificateOptions {
  readonly hostname: Hostname;
  /** Of this hostname. */
  readonly keys: SealingKeys;
  readonly log: RecordLog;
  /** Where `certificate: file` looks; both or neither. */
  readonly files: { readonly certificatePath: string; readonly keyPath: string } | undefined;
}

type Source = "file" | "stored" | "stand-in";
type Mode = HostConfig["certificate"];

/** Sources, best first. What ACME issues is stored; until there is one, `acme` takes what the files hold. */
const SOURCES: Readonly<Record<Mode, readonly Exclude<Source, "stand-in">[]>> = {
  file: ["file"],
  stored: ["stored"],
  acme: ["stored", "file"],
};

export interface CertificateReport {
  readonly source: Source | "none";
  readonly expires_at: string | undefined;
  readonly problems: Readonly<Record<string, string>>;
}

/**
 * The certificate in force. A new one serves the next handshake and drops no connection; a bad one leaves the last good one in
 * place. When there is none at all a self-signed stand-in keeps handshakes completing (every verifying peer refuses it), and the
 * real one is taken as soon as it appears.
 */
export class LiveCertificate {
  readonly #options: LiveCertificateOptions;
  readonly #files: CertificateFiles | undefined;
  /** The last good one of each source. */
  readonly #good = new Map<Source, Certificate>();
  readonly #problems = new Map<Source, string>();
  /** Undefined until the host config is known: nothing is chosen before. */
  #mode: Mode | undefined;
  #current: { source: Source; certificate: Certificate } | undefined;
  #context: { options: SecureContextOptions; day: number } | undefined;

  constructor(options: LiveCertificateOptions) {
    this.#options = options;
    this.#files =
      options.files &&
      new CertificateFiles({
        hostname: options.hostname,
        ...options.files,
        onRead: (read) => this.#take("file", read),
      });
  }

  /** Reads the files, if there are any, and watches them. Never rejects. */
  async start(): Promise<void> {
    await this.#files?.start();
  }

  /** HUP: reads the files again. */
  reload(): void {
    void this.#files?.read();
  }

  /** The value of `cert:{hostname}`, null when there is none. */
  offerStored(text: string | null): void {
    if (text !== null) {
      this.#take("stored", readStoredCertificate(text, this.#options.hostname, this.#options.keys));
      return;
    }
    this.#good.delete("stored");
    this.#problems.delete("stored");
    this.#choose();
  }

  /** Follows the host config's `certificate`. */
  configure(mode: Mode): void {
    this.#mode = mode;
    this.#choose();
  }

  /** For the next handshake; the same object until something changes. A new day brings new ticket keys. */
  tlsContext(): SecureContextOptions {
    const day = ticketDay(Date.now());
    if (this.#context?.day === day) return this.#context.options;
    const { chainPem, keyPem } = this.#current?.certificate ?? this.#standIn();
    const ticketKeys = sessionTicketKeys(this.#options.keys, day);
    this.#context = { options: { ...TLS_OPTIONS, cert: chainPem, key: keyPem, ticketKeys }, day };
    return this.#context.options;
  }

  report(): CertificateReport {
    return {
      source: this.#current?.source ?? "none",
      expires_at: this.#current && new Date(this.#current.certificate.expiresAt).toISOString(),
      problems: Object.fromEntries(this.#problems),
    };
  }

  close(): void {
    this.#files?.close();
  }

  #take(source: Source, read: CertificateRead): void {
    if (read.kind === "certificate") {
      this.#problems.delete(source);
      this.#good.set(source, read.certificate);
      this.#choose();
      return;
    }
    this.#problems.set(source, read.problem);
    this.#record("certificate_bad", `certificate (${source}) not used: ${read.problem}`);
    this.#choose();
  }

  #choose(): void {
    if (this.#mode === undefined) return;
    const source = SOURCES[this.#mode].find((name) => this.#good.has(name)) ?? "stand-in";
    // A certificate that was good goes on serving when its source is taken away, as long as there is nothing better.
    if (source === "stand-in" && this.#current) return;
    const certificate = this.#good.get(source) ?? this.#standIn();
    const isSame =
      this.#current?.source === source && this.#current.certificate.fingerprint === certificate.fingerprint;
    if (isSame) return;
    this.#current = { source, certificate };
    this.#context = undefined;
    const until = new Date(certificate.expiresAt).toISOString();
    if (source === "stand-in") {
      const sentence = `no certificate for "certificate": "${this.#mode}" yet: a self-signed one stands in, which peers refuse`;
      this.#record("certificate_bad", sentence);
    } else this.#record("certificate_loaded", `certificate loaded: ${source}, expires ${until}`);
  }

  #standIn(): Certificate {
    const kept = this.#good.get("stand-in");
    if (kept) return kept;
    const made = checkKeyPair(makeStandIn(this.#options.hostname), this.#options.hostname);
    if (made.kind !== "certificate") throw new TypeError(`stand-in certificate: ${made.problem}`);
    this.#good.set("stand-in", made.certificate);
    return made.certificate;
  }

  #record(event: "certificate_loaded" | "certificate_bad", message: string): void {
    this.#options.log.write({
      time: Date.now(),
      level: event === "certificate_bad" ? "warn" : "info",
      component: "instance",
      event,
      hostname: this.#options.hostname,
      message,
    });
  }
}
