import { generateKeyPairSync } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { Authorization, Client, Order } from "acme-client";
import type { AcmeChallenge, AcmeChallengeType } from "@gatehouse/shared/acme-challenge";
import type { Hostname } from "@gatehouse/shared/hostname";
import type { KeyPair } from "@gatehouse/shared/certificate";
import { acmeCrypto } from "./library.ts";
import { acmeProblemSchema, type AcmeTransport } from "./transport.ts";

/** Redis tells the other instances of a pending challenge within milliseconds; a check that came earlier would be a failed one. */
const SPREAD_MS = 250;
/** Between two looks at what the authority is busy with, doubling. */
const FIRST_LOOK_MS = 250;
const LONGEST_LOOK_MS = 5000;
/** A Retry-After of a pending order beyond this is not waited for within an attempt. */
const LONGEST_WAIT_MS = 60_000;

export interface OrderOptions {
  readonly client: Client;
  readonly transport: AcmeTransport;
  readonly hostname: Hostname;
  readonly challengeType: AcmeChallengeType;
  /** The certificate that this one takes the place of (RFC 9773 section 5). */
  readonly replaces: string | undefined;
  /** Makes a challenge known to whoever can be asked for it. */
  readonly publish: (challenge: AcmeChallenge) => Promise<void>;
}

/** Orders a certificate for a fresh key (RFC 8555 section 7.4). @throws {Error} with what the authority said */
export async function orderCertificate(options: OrderOptions): Promise<KeyPair> {
  const { client, hostname, replaces } = options;
  const request = {
    identifiers: [{ type: "dns", value: hostname }],
    ...(replaces === undefined ? {} : { replaces }),
  };
  const order = await client.createOrder(request);
  for (const authorization of await client.getAuthorizations(order)) {
    // An authority remembers what was proved a while ago (RFC 8555 section 7.1.3).
    if (authorization.status !== "valid") await prove(authorization, order, options);
  }
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const keyPem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const [, csr] = await acmeCrypto.createCsr({ altNames: [hostname] }, keyPem);
  await until(options, async () => statusOf(await client.getOrder(order), "ready"));
  await client.finalizeOrder(order, csr);
  let valid: Order = order;
  await until(options, async () => {
    valid = await client.getOrder(order);
    return statusOf(valid, "valid");
  });
  return { chainPem: await client.getCertificate(valid), keyPem };
}

async function prove(authorization: Authorization, order: Order, options: OrderOptions): Promise<void> {
  const { client, challengeType: type, publish } = options;
  const challenge = authorization.challenges.find((offered) => offered.type === type);
  if (!challenge) throw new Error(`the authority offers no ${type} for this name`);
  const keyAuthorization = await client.getChallengeKeyAuthorization(challenge);
  await publish({ type, token: challenge.token, key_authorization: keyAuthorization });
  await delay(SPREAD_MS);
  await client.completeChallenge(challenge);
  await until(options, async () => {
    const all = await client.getAuthorizations(order);
    const now = all.find(({ url }) => url === authorization.url);
    return now === undefined || statusOf(now, "valid");
  });
}

/** True when it is there, false while it is not. @throws {Error} when it never will be */
function statusOf(item: Order | Authorization, wanted: "ready" | "valid"): boolean {
  if (item.status === wanted) return true;
  if (item.status === "pending" || item.status === "processing") return false;
  // An order that was ready is processing or valid by the next look.
  if (item.status === "ready" && wanted === "valid") return false;
  throw new Error(`${problemText(item) ?? "no reason given"} (${item.status})`);
}

/** RFC 8555: the error of an order, or of the challenge that failed. */
function problemText(item: Order | Authorization): string | undefined {
  const errors: readonly unknown[] =
    "challenges" in item
      ? item.challenges.map((challenge) => ("error" in challenge ? challenge.error : undefined))
      : [item.error];
  for (const error of errors) {
    const problem = acmeProblemSchema.safeParse(error).data;
    if (problem) return `${problem.type}: ${problem.detail}`;
  }
  return undefined;
}

/** Looks until it is so, as often as the authority likes (RFC 8555 section 7.5.1: Retry-After). */
async function until({ transport }: OrderOptions, isSo: () => Promise<boolean>): Promise<void> {
  for (let wait = FIRST_LOOK_MS; !(await isSo()); wait = Math.min(wait * 2, LONGEST_LOOK_MS)) {
    await delay(Math.min(transport.retryAfterMs ?? wait, LONGEST_WAIT_MS));
  }
}
