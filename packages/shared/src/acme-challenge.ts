import * as z from "zod";

export const ACME_CHALLENGE_TYPES = ["tls-alpn-01", "http-01"] as const;
export type AcmeChallengeType = (typeof ACME_CHALLENGE_TYPES)[number];

/** At least 128 bits in base64url, without padding (RFC 8555 section 8.3); the upper bound is ours. */
const TOKEN = /^[A-Za-z0-9_-]{22,256}$/;

/** The value of `acme:challenge:{hostname}`: written by the instance that orders, read by all of the hostname and the dispatcher. */
const acmeChallengeSchema = z.object({
  type: z.enum(ACME_CHALLENGE_TYPES),
  token: z.string().regex(TOKEN),
  /** Token and thumbprint of the account key (RFC 8555 section 8.1). Told to whoever asks, so no secret. */
  key_authorization: z.string().max(1024),
});

export type AcmeChallenge = z.infer<typeof acmeChallengeSchema>;

/** True for what can be a challenge's token. */
export function isChallengeToken(text: string): boolean {
  return TOKEN.test(text);
}

/** Reads a pending challenge; undefined when it is none. Never throws. */
export function parseAcmeChallenge(text: string): AcmeChallenge | undefined {
  try {
    return acmeChallengeSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
