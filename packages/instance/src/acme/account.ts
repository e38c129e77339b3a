import * as z from "zod";
import type { Hostname } from "@gatehouse/shared/hostname";
import { acmeAccountKey } from "@gatehouse/shared/redis-keys";
import type { SealingKeys } from "@gatehouse/shared/sealing";
import type { IssuerLock } from "./issuer-lock.ts";

/** What is sealed under `acme:account:…`. */
const accountSchema = z.object({
  key_pem: z.string(),
  /** By which the authority knows it (RFC 8555 section 7.3). */
  url: z.string(),
});

export type Account = z.infer<typeof accountSchema>;

export interface AccountPlace {
  readonly hostname: Hostname;
  readonly directoryUrl: string;
  readonly sealing: SealingKeys;
  readonly lock: IssuerLock;
}

/** Returns the hostname's account at the directory; undefined when there is none, or it can't be opened any more. */
export async function readAccount(place: AccountPlace): Promise<Account | undefined> {
  const { hostname, directoryUrl, sealing, lock } = place;
  const name = acmeAccountKey(hostname, directoryUrl);
  const sealed = await lock.read(name);
  const known = sealed === null ? undefined : sealing.open(name, sealed);
  return known && accountSchema.parse(JSON.parse(known.toString()));
}

/** Keeps a new account; with undefined, forgets one that its authority does not know any more. */
export async function writeAccount(place: AccountPlace, account: Account | undefined): Promise<void> {
  const key = acmeAccountKey(place.hostname, place.directoryUrl);
  const value = account === undefined ? null : place.sealing.seal(key, JSON.stringify(account));
  await place.lock.write([{ key, value }]);
}
