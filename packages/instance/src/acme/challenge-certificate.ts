import { hash } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import type { AcmeChallenge } from "@gatehouse/shared/acme-challenge";
import type { Hostname } from "@gatehouse/shared/hostname";
import { der } from "../der.ts";
import { makeSelfSigned } from "../self-signed-certificate.ts";

/** RFC 8737 section 6.2. */
export const ACME_TLS_PROTOCOL = "acme-tls/1";
/** A validation takes seconds; a challenge is not followed for longer than its key lives in Redis. */
const LIFETIME_MS = 86_400_000;
/** id-pe-acmeIdentifier, 1.3.6.1.5.5.7.1.31 (RFC 8737 section 6.1), and the mark of a critical extension. */
const ACME_IDENTIFIER = Buffer.from("06082b0601050507011f", "hex");
const CRITICAL = Buffer.from("0101ff", "hex");

/**
 * Returns the certificate that answers a TLS-ALPN-01 challenge (RFC 8737 section 3): self-signed, the hostname its only name, the
 * SHA-256 of the key authorization in a critical extension.
 */
export function challengeContext(hostname: Hostname, challenge: AcmeChallenge): SecureContext {
  const digest = hash("sha256", challenge.key_authorization, "buffer");
  const extension = der(0x30, ACME_IDENTIFIER, CRITICAL, der(0x04, der(0x04, digest)));
  const { chainPem, keyPem } = makeSelfSigned(hostname, {
    commonName: "Gatehouse challenge",
    lifetimeMs: LIFETIME_MS,
    extensions: [extension],
  });
  return createSecureContext({ cert: chainPem, key: keyPem });
}
