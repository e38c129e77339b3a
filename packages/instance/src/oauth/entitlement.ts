import type { HostConfig } from "@gatehouse/shared/host-config";
import type { Identity } from "./identity.ts";
import { isNamedByLogin, mayLogIn, scopesFor } from "./scope.ts";
import type { UserPins } from "./user-pin.ts";

/** What a person gets on a host, or why nothing; the reason is for the record. */
export type Entitlement =
  | {
      readonly kind: "some";
      /** Never empty. */
      readonly scopes: readonly string[];
      /** Their login was pinned to them just now. */
      readonly isNewlyPinned: boolean;
    }
  | { readonly kind: "none"; readonly reason: string };

/** Applies the host config's lists to a person, then the pin of their login where a list names it. Rejects when Redis does. */
export async function entitlementOf(
  pins: UserPins,
  config: HostConfig,
  person: { readonly identity: Identity; readonly requested: readonly string[] | undefined },
): Promise<Entitlement> {
  const { identity, requested } = person;
  if (!mayLogIn(config, identity)) return { kind: "none", reason: "auth_required_users does not admit them" };
  const scopes = scopesFor(config, identity, requested);
  if (scopes.length === 0) return { kind: "none", reason: "no scope is left for them" };
  // Only now: who gets nothing must not take a name.
  const claim = isNamedByLogin(config, identity) ? await pins.claim(identity) : "same";
  if (claim === "other")
    return { kind: "none", reason: "a list names this login, and it is pinned to another uid" };
  return { kind: "some", scopes, isNewlyPinned: claim === "pinned" };
}
