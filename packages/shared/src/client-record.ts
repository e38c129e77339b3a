import { timingSafeEqual } from "node:crypto";
import * as z from "zod";
import { bearerHash } from "./redis-keys.ts";

/**
 * What `oauth:client:{client_id}` holds: the registered metadata (RFC 7591 section 2) under their own names, and the members
 * below. Secret and registration access token are there as hashes only.
 */
export const clientRecordSchema = z.looseObject({
  hostname: z.string(),
  client_id: z.string(),
  client_id_issued_at: z.number().optional(),
  client_name: z.string().optional(),
  redirect_uris: z.array(z.string()),
  registration_client_uri: z.string(),
  client_secret_hash: z.string().optional(),
  client_secret_expires_at: z.number().optional(),
  registration_access_token_hash: z.string().optional(),
  /** Access tokens issued to this client. */
  usage_count: z.number(),
  /** Unix seconds; null before the first token. */
  last_token_issued: z.number().nullable(),
});
export type ClientRecord = z.infer<typeof clientRecordSchema>;

/** Begins a stored hash. A colon is no base64url character, so a hash is never taken for a secret, nor a secret for a hash. */
const HASH_WORD = "sha256:";

/** Returns the form in which a secret is stored. */
export function hashSecret(secret: string): string {
  return HASH_WORD + bearerHash(secret);
}

/** True for what {@link hashSecret} returns. */
export function isSecretHash(text: string): boolean {
  return text.startsWith(HASH_WORD);
}

/** True when the secret is the one that was hashed; takes the same time for every wrong one. */
export function secretMatches(hash: string, secret: string): boolean {
  const expected = Buffer.from(hash);
  const actual = Buffer.from(hashSecret(secret));
  return expected.length === actual.length && timingSafeEqual(expected, actual);
}
