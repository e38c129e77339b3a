import type { SecureContext } from "node:tls";
import { parseAcmeChallenge } from "@gatehouse/shared/acme-challenge";
import type { Hostname } from "@gatehouse/shared/hostname";
import { challengeContext } from "./challenge-certificate.ts";

/**
 * The pending TLS-ALPN-01 challenge of a hostname, as Redis tells it: whichever instance of the hostname the authority's connection
 * reaches can answer, whoever ordered the certificate.
 */
export class LiveChallenge {
  readonly #hostname: Hostname;
  #context: SecureContext | undefined;

  constructor(hostname: Hostname) {
    this.#hostname = hostname;
  }

  /** The value of `acme:challenge:{hostname}`, null when nothing is pending. Never throws. */
  told(text: string | null): void {
    const challenge = text === null ? undefined : parseAcmeChallenge(text);
    this.#context =
      challenge?.type === "tls-alpn-01" ? challengeContext(this.#hostname, challenge) : undefined;
  }

  /** What answers a hello of `acme-tls/1`; undefined when nothing is pending under that name. `false`: the hello has none. */
  contextFor(serverName: string | false): SecureContext | undefined {
    // RFC 8737 section 3: the server name is the identifier being validated.
    return serverName !== false && serverName.toLowerCase() === this.#hostname ? this.#context : undefined;
  }

  get isPending(): boolean {
    return this.#context !== undefined;
  }
}
