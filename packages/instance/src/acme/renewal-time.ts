import { hash, X509Certificate } from "node:crypto";

/** RFC 9773 section 4.2: when an authority would like a certificate to be renewed, milliseconds since the epoch. */
export interface RenewalWindow {
  readonly start: number;
  readonly end: number;
}

/** A third is left, in which an authority may be away for weeks. */
const RENEWED_AT = 2 / 3;
const JITTER = 1 / 30;
/** However late a window lies, a certificate is renewed while there is still time to fail. */
const LATEST = 0.95;
/** However early it lies, one is kept for a day (or a fiftieth of a short life): an authority that errs must not make us order without end. */
const EARLIEST = 0.02;
const LONGEST_KEPT_MS = 86_400_000;

/**
 * Returns when a certificate is due, milliseconds since the epoch: at a point of the authority's window, else at two thirds of its
 * life or up to a thirtieth earlier. The point is made from the certificate, so that it stays the same however often it is asked, is
 * the same for every instance of the hostname, and spreads hosts.
 */
export function renewalTime(leafPem: string, window: RenewalWindow | undefined): number {
  const leaf = new X509Certificate(leafPem);
  const from = Date.parse(leaf.validFrom);
  const life = Date.parse(leaf.validTo) - from;
  const point = hash("sha256", leaf.raw, "buffer").readUInt32BE() / 2 ** 32;
  if (window === undefined) return Math.round(from + life * (RENEWED_AT - JITTER * point));
  // RFC 9773 section 4.2: a uniformly random time within the window.
  const suggested = window.start + (window.end - window.start) * point;
  const earliest = from + Math.min(life * EARLIEST, LONGEST_KEPT_MS);
  return Math.round(Math.max(earliest, Math.min(suggested, from + life * LATEST)));
}
