import type { Adapter, AdapterPayload } from "oidc-provider";

/** What the engine's `Adapter` must have and a model here does not use. */
export function unusedMethods(model: string): Adapter {
  const refuse = (method: string) => async (): Promise<never> => {
    throw new Error(`the engine called ${method} for ${model}, which nothing here should make it do`);
  };
  return {
    find: refuse("find"),
    findByUid: refuse("findByUid"),
    findByUserCode: refuse("findByUserCode"),
    upsert: refuse("upsert"),
    consume: refuse("consume"),
    destroy: refuse("destroy"),
    revokeByGrantId: refuse("revokeByGrantId"),
  };
}

/** Takes the `jti` out of a payload, where it is the bearer value itself, and makes sure of the grant. */
export function withoutBearer(payload: AdapterPayload): { payload: AdapterPayload; grantId: string } {
  const { jti: _bearer, ...kept } = payload;
  if (kept.grantId === undefined) throw new TypeError("a code or refresh token names its grant");
  return { payload: kept, grantId: kept.grantId };
}
