import { generateKeyPairSync } from "node:crypto";
import type { Client } from "acme-client";
import type { Redis } from "ioredis";
import { z } from "zod";
import type { Hostname } from "@gatehouse/shared/hostname";
import { acmeAccountKey } from "@gatehouse/shared/redis-keys";
import type { SealingKeys } from "@gatehouse/shared/sealing";
import type { IssuerLock } from "./issuer-lock.ts";
import type { AcmeLibrary } from "./transport.ts";

/** What is sealed under `acme:account:…`. */
const accountSchema = z.object({ key_pem: z.string(), url: z.string() });

export interface AccountPlace {
  readonly hostname: Hostname;
  readonly directoryUrl: string;
  readonly email: string;
  readonly redis: Redis;
  readonly sealing: SealingKeys;
  readonly lock: IssuerLock;
}

/** Returns a client that speaks for the hostname's account at the directory; the first time it is registered. */
export async function openAccount(library: AcmeLibrary, place: AccountPlace): Promise<Client> {
  const { hostname, directoryUrl, email, redis, sealing, lock } = place;
  const name = acmeAccountKey(hostname, directoryUrl);
  const sealed = await redis.get(name);
  const known = sealed === null ? undefined : sealing.open(name, sealed);
  if (known !== undefined) {
    const account = accountSchema.parse(JSON.parse(known.toString()));
    return new library.Client({ directoryUrl, accountKey: account.key_pem, accountUrl: account.url });
  }
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const keyPem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const client = new library.Client({ directoryUrl, accountKey: keyPem });
  await client.createAccount({ termsOfServiceAgreed: true, contact: [`mailto:${email}`] });
  const value = sealing.seal(name, JSON.stringify({ key_pem: keyPem, url: client.getAccountUrl() }));
  await lock.write([{ key: name, value }]);
  return client;
}

/** Forgets an account that its authority does not know any more; the next attempt registers another. */
export async function forgetAccount(
  place: Pick<AccountPlace, "hostname" | "directoryUrl" | "lock">,
): Promise<void> {
  await place.lock.write([{ key: acmeAccountKey(place.hostname, place.directoryUrl), value: null }]);
}
