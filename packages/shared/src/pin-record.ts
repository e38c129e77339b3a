import * as z from "zod";

/** Value of `oauth:pin:{hostname}:{login}`: whom a login that a host config names means here. */
export const pinRecordSchema = z.object({
  hostname: z.string(),
  /** As the provider spelt it. */
  login: z.string(),
  /** The provider's immutable id: `github:583231`. */
  uid: z.string(),
  /** Unix seconds. */
  pinned_at: z.number(),
});

export type PinRecord = z.infer<typeof pinRecordSchema>;
