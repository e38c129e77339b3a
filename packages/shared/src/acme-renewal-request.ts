import * as z from "zod";

/** How long a request waits for an instance that may act on it: longer than five failures in an hour hold it back. */
export const RENEWAL_REQUEST_TTL_MS = 2 * 3_600_000;

/** The value of `acme:renew:{hostname}`: an operator wants a new certificate now. One attempt is made of it, and takes it away when it begins. */
const renewalRequestSchema = z.object({
  /** Milliseconds since the epoch. */
  asked_at: z.number(),
});

export type RenewalRequest = z.infer<typeof renewalRequestSchema>;

/** Reads a request; undefined when there is none, or none that can be read. Never throws. */
export function parseRenewalRequest(text: string | null): RenewalRequest | undefined {
  if (text === null) return undefined;
  try {
    return renewalRequestSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
