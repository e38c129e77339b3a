import * as z from "zod";

/** The value of `cert:{hostname}` (contract section 3). Further fields are kept by whoever wrote them and ignored here. */
const storedCertificateSchema = z.object({
  /** Leaf first. */
  fullchain_pem: z.string(),
  /** PEM, sealed under the name of the Redis key it lies in. */
  private_key: z.string(),
  /** ISO 8601 or unix seconds; for people, the certificate itself says it too. */
  expires_at: z.union([z.string(), z.number()]).optional(),
  source: z.string().optional(),
});

export type StoredCertificate = z.infer<typeof storedCertificateSchema>;

/** Reads a stored certificate; undefined when it is none. Nothing is opened or checked here. Never throws. */
export function parseStoredCertificate(text: string): StoredCertificate | undefined {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return undefined;
  }
  return storedCertificateSchema.safeParse(document).data;
}
