import type { SealingKeys } from "@gatehouse/shared/sealing";

const DAY_MS = 86_400_000;
/** Node's layout: 16 octets of name, 16 of HMAC key, 16 of AES key. */
const TICKET_KEY_BYTES = 48;

/** The day whose keys are in use: days since the epoch, UTC, so that all instances of a hostname change at once. */
export function ticketDay(now: number): number {
  return Math.floor(now / DAY_MS);
}

/**
 * Keys for TLS session tickets, derived and not stored: a restarted instance and its siblings make the same ones, so a peer resumes
 * with any of them. They change every day, so what is stolen tomorrow opens nothing of today. Node knows one set of keys per
 * context and offers no callback to try an older one: a ticket of yesterday costs its peer one full handshake.
 */
export function sessionTicketKeys(keys: SealingKeys, day: number): Buffer {
  return keys.derive(`tls-session-tickets/${day}`, TICKET_KEY_BYTES);
}
