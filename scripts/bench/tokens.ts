import { createPublicKey, generateKeyPairSync, randomUUID, sign, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { parseHostname, type Hostname } from "@gatehouse/shared/hostname";
import { clientKey, grantIdentityKey, tokenKey } from "@gatehouse/shared/redis-keys";
import { SealingKeys } from "@gatehouse/shared/sealing";
import { openSigningKeys } from "@gatehouse/shared/signing-key-record";
import { HOSTNAME, type Place } from "./place.ts";

export type TokenAlgorithm = "RS256" | "ES256";

/** What verifies tokens. */
export interface TokenTrust {
  readonly issuer: string;
  /** Public key, PEM. */
  readonly keyFile: string;
}

/** Access tokens of one issuer. */
export interface TokenFile extends TokenTrust {
  readonly algorithm: TokenAlgorithm;
  /** One a line. */
  readonly path: string;
  readonly count: number;
}

/** Signed at once: the thread pool has four threads. */
const BATCH = 200;
const SECONDS = 86_400;
const CLIENT = "client_0000000000000000000001";
const IDENTITY = { uid: "github:583231", login: "octocat", email: "octocat@github.com" };
const signing = promisify(sign);

/**
 * Makes tokens as Gatehouse issues them, with their records in Redis. Those with RS256 are signed with the host's own key; Gatehouse signs
 * with no other algorithm, so those with ES256 are for the peer.
 */
export async function makeTokens(
  place: Place,
  options: { algorithm: TokenAlgorithm; count: number; port: number },
): Promise<TokenFile> {
  const { algorithm, count, port } = options;
  const issuer = `https://${HOSTNAME}:${port}`;
  const key = algorithm === "RS256" ? await hostKey(place) : ownKey();
  const name = join(place.directory, `tokens-${algorithm}-${port}-${count}`);
  const keyFile = `${name}.pem`;
  await writeFile(keyFile, createPublicKey(key.privateKey).export({ type: "spki", format: "pem" }));
  const grant = randomUUID();
  await addStanding(place, grant);
  const tokens: string[] = [];
  for (let first = 0; first < count; first += BATCH) {
    const size = Math.min(BATCH, count - first);
    const claims = Array.from({ length: size }, () => claimsOf(issuer));
    tokens.push(...(await Promise.all(claims.map((each) => compact(each, key, algorithm)))));
    if (algorithm === "RS256") await record(place, grant, claims);
  }
  await writeFile(name, `${tokens.join("\n")}\n`);
  return { algorithm, issuer, path: name, count, keyFile };
}

interface Key {
  readonly kid: string;
  readonly privateKey: KeyObject;
}

async function hostKey(place: Place): Promise<Key> {
  const sealing = SealingKeys.parse(readFileSync(place.secretKeyFile, "utf8").trim(), []);
  const hostname = benchHostname();
  const own = sealing?.forHostname(hostname);
  if (own === undefined) throw new Error("the benchmark's own secret key can't be read");
  const { active } = await openSigningKeys({ redis: place.redis, hostname, sealing: own });
  return active;
}

function ownKey(): Key {
  return { kid: "bench", privateKey: generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey };
}

function benchHostname(): Hostname {
  const parsed = parseHostname(HOSTNAME);
  if (!parsed.ok) throw new TypeError(HOSTNAME);
  return parsed.hostname;
}

type Claims = ReturnType<typeof claimsOf>;

function claimsOf(issuer: string) {
  const iat = Math.floor(Date.now() / 1000);
  return {
    iss: issuer,
    sub: IDENTITY.login,
    uid: IDENTITY.uid,
    email: IDENTITY.email,
    aud: [`${issuer}/mcp`],
    client_id: CLIENT,
    scope: "user mcp",
    jti: randomUUID(),
    iat,
    exp: iat + SECONDS,
  };
}

async function compact(claims: Claims, key: Key, algorithm: TokenAlgorithm): Promise<string> {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const input = `${part({ alg: algorithm, typ: "at+jwt", kid: key.kid })}.${part(claims)}`;
  const signature = await signing("sha256", Buffer.from(input), {
    key: key.privateKey,
    dsaEncoding: "ieee-p1363",
  });
  return `${input}.${signature.toString("base64url")}`;
}

async function addStanding(place: Place, grant: string): Promise<void> {
  const identity = {
    ...IDENTITY,
    hostname: HOSTNAME,
    email_verified: true,
    organisations: [],
    teams: [],
    checked_at: Math.floor(Date.now() / 1000),
  };
  await place.redis.set(grantIdentityKey(grant), JSON.stringify(identity));
  await place.redis.set(clientKey(CLIENT), JSON.stringify({ hostname: HOSTNAME, client_id: CLIENT }));
}

async function record(place: Place, grant: string, claims: readonly Claims[]): Promise<void> {
  const pipeline = place.redis.pipeline();
  for (const { email: _, ...facts } of claims) {
    const text = JSON.stringify({ ...facts, hostname: HOSTNAME, grant_id: grant });
    pipeline.set(tokenKey(facts.jti), text, "EX", SECONDS);
  }
  await pipeline.exec();
}
