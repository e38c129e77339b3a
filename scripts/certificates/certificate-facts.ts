import { X509Certificate } from "node:crypto";
import type { RedisClient } from "@gatehouse/shared/redis-connection";
import { parseHostConfig } from "@gatehouse/shared/host-config";
import { parseHostname, type Hostname } from "@gatehouse/shared/hostname";
import { CERTIFICATE_PREFIX, certificateKey, hostConfigKey, routeKey } from "@gatehouse/shared/redis-keys";
import { parseStoredCertificate } from "@gatehouse/shared/stored-certificate";
import { readText, wrongTypeOf } from "@gatehouse/shared/stored-text";
import { scanKeys } from "../hosts/scan-keys.ts";
import { readHosts } from "../hosts/stored-host.ts";
import { servedCertificate } from "./served-certificate.ts";

const DAY_MS = 86_400_000;
/** A certificate of 90 days is renewed with 30 left; one with fewer than this has been failing for weeks. */
const SOON_DAYS = 14;

/** What an operator asks of a certificate. */
export interface CertificateFacts {
  readonly hostname: Hostname;
  /** What the host config says: `acme`, `stored` or `file`; null without a config that can be read. */
  readonly wanted: string | null;
  /** Where this one was found: `stored (import)`, `served at 127.0.0.1:13001`, a path, or null when there is none. */
  readonly found: string | null;
  readonly issuer: string | null;
  readonly names: readonly string[];
  /** RFC 3339. */
  readonly not_after: string | null;
  readonly days_left: number | null;
  readonly problem: string | null;
}

interface Asked {
  readonly hostname: Hostname;
  readonly wanted: string | null;
  readonly now: number;
}

/** Returns the facts of one host. `file` is the one its instance has, which only its environment says. */
export async function certificateOf(
  redis: RedisClient,
  hostname: Hostname,
  { file, now }: { readonly file?: { readonly path: string; readonly pem: string }; readonly now: number },
): Promise<CertificateFacts> {
  const config = await readText(redis, hostConfigKey(hostname));
  const parsed = config === null ? undefined : parseHostConfig(config);
  const wanted = parsed?.ok ? parsed.config.certificate : null;
  if (file !== undefined) return facts({ hostname, wanted, now }, { found: file.path, pem: file.pem });
  const text = await readText(redis, certificateKey(hostname));
  // A host that takes its certificate from files, or from whatever there is, may well serve one that is not stored.
  const route = text === null || wanted === "file" ? await readText(redis, routeKey(hostname)) : null;
  const served = config === null || route === null ? undefined : await servedCertificate(route, hostname);
  if (served !== undefined)
    return facts({ hostname, wanted, now }, { found: `served at ${served.target}`, pem: served.pem });
  return storedFacts({ hostname, wanted, now }, text);
}

function storedFacts(asked: Asked, text: string | null): CertificateFacts {
  const { hostname, wanted } = asked;
  if (text === null) {
    const problem =
      wanted === "file"
        ? "its instance does not answer; the file that it was given (GATEHOUSE_CERTIFICATE_FILE) can be named with --file"
        : "none is stored, and no instance answers";
    return { ...NOTHING, hostname, wanted, problem };
  }
  const stored = parseStoredCertificate(text);
  if (stored !== undefined)
    return facts(asked, {
      found: `stored (${stored.source ?? "source unknown"})`,
      pem: stored.fullchain_pem,
    });
  const wrong = wrongTypeOf(text);
  const problem = wrong ? `is ${wrong.type}, not a string` : "not JSON with fullchain_pem and private_key";
  return { ...NOTHING, hostname, wanted, found: "stored", problem };
}

/** Returns the facts of every host, and of certificates that are stored for hosts that are gone. */
export async function everyCertificate(redis: RedisClient, now: number): Promise<CertificateFacts[]> {
  const names = new Set<Hostname>();
  for (const { hostname, config } of await readHosts(redis)) if (config !== null) names.add(hostname);
  for await (const key of scanKeys(redis, CERTIFICATE_PREFIX)) {
    const name = parseHostname(key.slice(CERTIFICATE_PREFIX.length));
    if (name.ok) names.add(name.hostname);
  }
  return await Promise.all([...names].sort().map((name) => certificateOf(redis, name, { now })));
}

const NOTHING = { found: null, issuer: null, names: [], not_after: null, days_left: null } as const;

function facts(
  { hostname, wanted, now }: Asked,
  { found, pem }: { found: string; pem: string },
): CertificateFacts {
  let leaf: X509Certificate;
  try {
    leaf = new X509Certificate(pem);
  } catch {
    return { ...NOTHING, hostname, wanted, found, problem: "not a PEM certificate" };
  }
  const notAfter = Date.parse(leaf.validTo);
  const daysLeft = Math.floor((notAfter - now) / DAY_MS);
  const problems = [
    // Among them the one that stands in while an instance has none.
    leaf.checkIssued(leaf) ? "self-signed: peers refuse it" : "",
    leaf.checkHost(hostname) === undefined ? `does not name ${hostname}` : "",
    daysLeft < 0 ? "has expired" : daysLeft < SOON_DAYS ? "expires soon" : "",
  ].filter((problem) => problem !== "");
  return {
    hostname,
    wanted,
    found,
    issuer: leaf.issuer.replaceAll("\n", ", "),
    names: (leaf.subjectAltName ?? "").split(", ").map((name) => name.replace(/^(?:DNS|IP Address):/, "")),
    not_after: new Date(notAfter).toISOString(),
    days_left: daysLeft,
    problem: problems.length === 0 ? null : problems.join(", "),
  };
}
