import * as z from "zod";

/**
 * What `oauth:token:{jti}` holds about an access token, so that it can be listed and revoked: deleting the record revokes the
 * token, at once on every instance that tracks the prefix. Times are unix seconds.
 */
export const tokenRecordSchema = z.looseObject({
  hostname: z.string(),
  jti: z.string(),
  /** The login, as the traffic record shows it. */
  sub: z.string(),
  /** The identity provider's immutable id. */
  uid: z.string(),
  client_id: z.string(),
  /** Space separated, in the order admin user mcp. */
  scope: z.string(),
  aud: z.array(z.string()),
  iss: z.string(),
  iat: z.number(),
  exp: z.number(),
  grant_id: z.string(),
});
export type TokenRecord = z.infer<typeof tokenRecordSchema>;
