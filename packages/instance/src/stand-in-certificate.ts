import type { Hostname } from "@gatehouse/shared/hostname";
import type { KeyPair } from "@gatehouse/shared/certificate";
import { makeSelfSigned } from "./self-signed-certificate.ts";

const LIFETIME_MS = 365 * 86_400_000;

/**
 * Returns a certificate for the time until there is a real one: handshakes complete, every peer that verifies refuses it, and the
 * record says so.
 */
export function makeStandIn(hostname: Hostname): KeyPair {
  return makeSelfSigned(hostname, { commonName: "Gatehouse stand-in", lifetimeMs: LIFETIME_MS });
}
