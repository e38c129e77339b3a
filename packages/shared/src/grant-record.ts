import * as z from "zod";

/** What `oauth:grant:{id}` holds: what one account gave one client, in the engine's words. The id is no bearer value. */
export const grantRecordSchema = z.object({ hostname: z.string(), payload: z.looseObject({}) });

const factsSchema = z.object({
  clientId: z.string(),
  accountId: z.string().optional(),
  iat: z.number().optional(),
  resources: z.record(z.string(), z.string()).optional(),
});

/** What operators ask of a grant. */
export interface GrantFacts {
  readonly clientId: string;
  /** The provider's immutable id; undefined before the person came back from the provider. */
  readonly accountId: string | undefined;
  /** Unix seconds. */
  readonly grantedAt: number | undefined;
  readonly scopes: readonly string[];
}

/** Reads the engine's payload; undefined when it is of another shape. Never throws. */
export function grantFacts(payload: object): GrantFacts | undefined {
  const facts = factsSchema.safeParse(payload).data;
  if (facts === undefined) return undefined;
  const scopes = Object.values(facts.resources ?? {}).flatMap((scope) => scope.split(" "));
  return {
    clientId: facts.clientId,
    accountId: facts.accountId,
    grantedAt: facts.iat,
    scopes: [...new Set(scopes)],
  };
}
