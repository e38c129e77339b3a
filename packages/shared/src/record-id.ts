import { randomFillSync } from "node:crypto";

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/** Random octets are drawn in bulk: one system call serves 409 ids. */
const POOL = Buffer.allocUnsafe(4090);
let used = POOL.length;

/** Returns a new connection id: `c-` and a ULID (48 bits of milliseconds, 80 random bits), so ids sort by time. */
export function newConnectionId(): string {
  return `c-${ulid(Date.now())}`;
}

/** Returns a new request id: `req-` and a ULID. */
export function newRequestId(): string {
  return `req-${ulid(Date.now())}`;
}

/** True for text that {@link newConnectionId} could have made; what arrives in a UNIQUE_ID TLV is held to this. */
export function isConnectionId(text: string): boolean {
  return /^c-[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(text);
}

function ulid(milliseconds: number): string {
  let time = "";
  for (let rest = milliseconds, i = 0; i < 10; i++) {
    time = ALPHABET.charAt(rest % 32) + time;
    rest = Math.floor(rest / 32);
  }
  if (used + 10 > POOL.length) {
    randomFillSync(POOL);
    used = 0;
  }
  let random = "";
  // Five octets give eight letters of five bits each.
  for (let group = 0; group < 2; group++, used += 5) {
    for (let high = POOL.readUIntBE(used, 5), i = 0; i < 8; i++) {
      random += ALPHABET.charAt(high % 32);
      high = Math.floor(high / 32);
    }
  }
  return time + random;
}
