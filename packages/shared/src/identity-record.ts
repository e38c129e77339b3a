import * as z from "zod";

/** What `oauth:identity:{grant id}` holds: who stands behind a grant, for its refreshes. */
export const identityRecordSchema = z.looseObject({
  hostname: z.string(),
  /** The identity provider's immutable id. */
  uid: z.string(),
  login: z.string(),
  /** Null when the provider did not tell. */
  email: z.string().nullable(),
  email_verified: z.boolean(),
  organisations: z.array(z.string()),
  /** As `organisation/slug`. */
  teams: z.array(z.string()),
  /** Unix seconds: when organisations and teams were last asked for. */
  checked_at: z.number(),
  /** What the identity provider is asked with about memberships, sealed under the record's key. */
  membership_token: z.string().optional(),
});
export type IdentityRecord = z.infer<typeof identityRecordSchema>;
