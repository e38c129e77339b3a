import { createPrivateKey, X509Certificate, type KeyObject } from "node:crypto";
import { createSecureContext } from "node:tls";
import type { Hostname } from "./hostname.ts";
import { certificateKey } from "./redis-keys.ts";
import type { SealingKeys } from "./sealing.ts";
import { parseStoredCertificate, type StoredCertificate } from "./stored-certificate.ts";
import { wrongTypeOf } from "./stored-text.ts";

/** A certificate chain, leaf first, and its private key, both PEM. The key never leaves this process. */
export interface KeyPair {
  readonly chainPem: string;
  readonly keyPem: string;
}

/** A pair that was checked. */
export interface Certificate extends KeyPair {
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  /** SHA-256 of the leaf, to tell a new one from the same one. */
  readonly fingerprint: string;
}

/** `mismatch` is apart: in the middle of a renewal a certificate and its key are two files. */
export type CertificateRead =
  | { readonly kind: "certificate"; readonly certificate: Certificate }
  | { readonly kind: "mismatch"; readonly problem: string }
  | { readonly kind: "bad"; readonly problem: string };

/** Checks that the pair belongs together and names the hostname. Never throws; no problem holds key material. */
export function checkKeyPair(pair: KeyPair, hostname: Hostname): CertificateRead {
  let leaf: X509Certificate;
  let key: KeyObject;
  try {
    leaf = new X509Certificate(pair.chainPem);
  } catch {
    return bad("the certificate is not PEM");
  }
  try {
    key = createPrivateKey(pair.keyPem);
  } catch {
    return bad("the private key is not PEM, or needs a passphrase");
  }
  if (!leaf.checkPrivateKey(key)) {
    return { kind: "mismatch", problem: "the private key is not that of the certificate" };
  }
  if (leaf.checkHost(hostname) === undefined) return bad(`the certificate does not name ${hostname}`);
  try {
    // OpenSSL has the last word: a short key, or a broken certificate further up the chain, shows only here.
    createSecureContext({ cert: pair.chainPem, key: pair.keyPem });
  } catch {
    return bad("OpenSSL refuses the certificate chain or the key");
  }
  const expiresAt = Date.parse(leaf.validTo);
  return { kind: "certificate", certificate: { ...pair, expiresAt, fingerprint: leaf.fingerprint256 } };
}

/** Reads a stored certificate; its key is sealed under the name of the Redis key it lies in. Never throws. */
export function readStoredCertificate(text: string, hostname: Hostname, keys: SealingKeys): CertificateRead {
  const wrong = wrongTypeOf(text);
  if (wrong) return bad(`${wrong.key} is ${wrong.type}, not a string`);
  const stored = parseStoredCertificate(text);
  if (!stored) return bad("the stored certificate is not JSON with fullchain_pem and private_key");
  const keyPem = keys.open(certificateKey(hostname), stored.private_key);
  if (!keyPem) return bad("the stored private key can't be opened with the secret keys of this process");
  return checkKeyPair({ chainPem: stored.fullchain_pem, keyPem: keyPem.toString() }, hostname);
}

/** Returns the value of `cert:{hostname}`: the pair with its key sealed, as instances expect it. */
export function storedCertificateText(
  { chainPem, keyPem, expiresAt }: Certificate,
  source: string,
  { hostname, keys }: { readonly hostname: Hostname; readonly keys: SealingKeys },
): string {
  const stored: StoredCertificate = {
    fullchain_pem: chainPem,
    private_key: keys.seal(certificateKey(hostname), keyPem),
    expires_at: new Date(expiresAt).toISOString(),
    source,
  };
  return JSON.stringify(stored);
}

function bad(problem: string): CertificateRead {
  return { kind: "bad", problem };
}
