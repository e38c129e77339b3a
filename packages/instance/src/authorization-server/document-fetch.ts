import { lookup as systemLookup, type LookupAddress, type LookupOptions } from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import { Agent, fetch as guardedFetch } from "undici";
import { AddressList, canonicalIp } from "@gatehouse/shared/address";
import { RecentMap } from "@gatehouse/shared/recent-map";
import { isDocumentClientId } from "../oauth/client-id.ts";
import { FetchLimit } from "./abuse-limits.ts";

/**
 * Addresses that are never a client's metadata server: IANA's special-purpose registries (RFC 6890 and later), multicast, and the
 * prefixes that carry an IPv4 address inside IPv6, behind which any of the others could hide. IPv4-mapped addresses are missing
 * because they are looked up as the IPv4 address they are.
 */
const SPECIAL_PURPOSE = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.31.196.0/24",
  "192.52.193.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "192.175.48.0/24",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/3",
  "::/96",
  "64:ff9b::/96",
  "64:ff9b:1::/48",
  "100::/64",
  "2001::/23",
  "2001:db8::/32",
  "2002::/16",
  "2620:4f:8000::/48",
  "3fff::/20",
  "5f00::/16",
  "fc00::/7",
  "fe80::/10",
  "fec0::/10",
  "ff00::/8",
];

/** True for an address that the whole internet reaches at the same place. */
export function isPublicAddress(address: string): boolean {
  return isIP(address) !== 0 && !specialPurpose.has(canonicalIp(address));
}

const specialPurpose = parseSpecialPurpose();

function parseSpecialPurpose(): AddressList {
  const parsed = AddressList.parse(SPECIAL_PURPOSE);
  if (!parsed.ok) throw new TypeError(`not an address block: ${parsed.bad.join(", ")}`);
  return parsed.list;
}

export interface DocumentFetcherOptions {
  /** Addresses that may be connected to. Default {@link isPublicAddress}. */
  readonly isAllowedAddress?: (address: string) => boolean;
  /** Name resolution; `dns.lookup` by default. */
  readonly lookup?: typeof systemLookup;
  /** PEM certificates that are trusted beside the usual ones. */
  readonly ca?: string;
  /** Fetches that may start within a minute. Default 60. A third of them for one address. */
  readonly fetchesPerMinute?: number;
}

/** Most octets of what is fetched, as they are read: what a compressed body becomes counts. */
export const MAX_DOCUMENT_BYTES = 5 * 1024;
export const MAX_KEY_SET_BYTES = 32 * 1024;

/** What a site answered last. */
interface Kept {
  readonly body: Buffer;
  readonly headers: readonly [string, string][];
  /** Of `performance.now()`. */
  readonly at: number;
}

/** A document stands in for one that may not be fetched now for that long: longer than a login takes. */
const DOCUMENT_KEPT_MS = 3_600_000;
/** A key set is good for that long without a question; the engine asks for it at every request of a client that is a document. */
const KEY_SET_KEPT_MS = 60_000;
/** Most sites of either kind whose answer is kept, a few MiB in all. */
const MAX_KEPT = 500;
const MAX_KEY_SETS_KEPT = 100;

/**
 * Fetches what clients point at: metadata documents and key sets. The URL comes from anybody, so the connection is made only to an
 * address that was looked at: the check is the name resolution of the connection itself, and a name that answers differently a
 * moment later (DNS rebinding) is never asked again. No redirects; the engine bounds the time (2.5 s, the body included).
 */
export class DocumentFetcher {
  readonly #isAllowed: (address: string) => boolean;
  readonly #agent: Agent;
  readonly #limit: FetchLimit;
  readonly #documents = new RecentMap<Kept>(MAX_KEPT);
  readonly #keySets = new RecentMap<Kept>(MAX_KEY_SETS_KEPT);

  constructor(options: DocumentFetcherOptions = {}) {
    this.#isAllowed = options.isAllowedAddress ?? isPublicAddress;
    this.#limit = new FetchLimit(options.fetchesPerMinute ?? 60);
    this.#agent = new Agent({
      connect: {
        lookup: guardedLookup(options.lookup ?? systemLookup, this.#isAllowed),
        timeout: 2_500,
        ...(options.ca === undefined ? {} : { ca: options.ca }),
      },
      // An idle connection would be used again without a look at its address.
      pipelining: 0,
      keepAliveTimeout: 1,
      maxHeaderSize: 16_384,
    });
  }

  /** True when the client id is one that may be fetched: it has a path (MCP, "Client ID Metadata Documents"). */
  isFetchable(clientId: string): boolean {
    const url = isDocumentClientId(clientId) ? URL.parse(clientId) : null;
    return url !== null && url.pathname !== "/" && this.#mayConnect(url);
  }

  /** Counts one fetch for the peer that causes it. Returns 0 when it is taken, else the milliseconds to wait. */
  take(ip: string): number {
    return this.#limit.take(ip);
  }

  /** Returns a document as it was when it was fetched last, if that is not long ago. */
  keptDocument(url: string): Response | undefined {
    return keptIn(this.#documents, url, DOCUMENT_KEPT_MS);
  }

  /** Returns a key set that needs no fetch. */
  keptKeySet(url: string): Response | undefined {
    return keptIn(this.#keySets, url, KEY_SET_KEPT_MS);
  }

  async document(url: string, signal?: AbortSignal | null): Promise<Response> {
    return await this.#fetch(url, { maxBytes: MAX_DOCUMENT_BYTES, kept: this.#documents }, signal);
  }

  async keySet(url: string, signal?: AbortSignal | null): Promise<Response> {
    return await this.#fetch(url, { maxBytes: MAX_KEY_SET_BYTES, kept: this.#keySets }, signal);
  }

  /** As `fetch`, for https URLs of allowed hosts only; the body is there as a whole. */
  async #fetch(
    url: string,
    { maxBytes, kept }: { maxBytes: number; kept: RecentMap<Kept> },
    signal: AbortSignal | null = null,
  ): Promise<Response> {
    const parsed = new URL(url);
    if (!this.#mayConnect(parsed)) throw new TypeError("the address may not be connected to");
    const response = await guardedFetch(parsed, {
      method: "GET",
      headers: { accept: "application/json" },
      redirect: "manual",
      dispatcher: this.#agent,
      signal,
    });
    const { status, body } = response;
    if (status !== 200) {
      await body?.cancel();
      return new Response(null, { status });
    }
    if (!isJson(response.headers.get("content-type"))) {
      await body?.cancel();
      throw new TypeError("the document is not JSON");
    }
    const headers = [...response.headers];
    const known = { body: await readWithin(body ?? [], maxBytes), headers, at: performance.now() };
    kept.set(url, known);
    return responseOf(known);
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  /** Literal addresses are never resolved, so they are looked at here. */
  #mayConnect(url: URL): boolean {
    const literal = url.hostname.replace(/^\[(.*)\]$/, "$1");
    return url.protocol === "https:" && (isIP(literal) === 0 || this.#isAllowed(literal));
  }
}

/** Leaving the loop cancels the rest. */
async function readWithin(body: AsyncIterable<Uint8Array> | [], maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > maxBytes) throw new RangeError("the document is too large");
  }
  return Buffer.concat(chunks);
}

function keptIn(kept: RecentMap<Kept>, url: string, maxAgeMs: number): Response | undefined {
  const known = kept.get(url);
  return known !== undefined && performance.now() - known.at < maxAgeMs ? responseOf(known) : undefined;
}

function responseOf({ body, headers }: Kept): Response {
  return new Response(new Uint8Array(body), { headers: [...headers] });
}

function isJson(contentType: string | null): boolean {
  return /^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i.test(contentType ?? "");
}

/** Resolves as asked and fails when any answer is not allowed: one public address among private ones is no excuse. */
function guardedLookup(lookup: typeof systemLookup, isAllowed: (address: string) => boolean): LookupFunction {
  return (hostname, options: LookupOptions, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
      const [first] = addresses ?? [];
      if (error !== null || first === undefined) {
        callback(error ?? new Error(`${hostname} has no address`), "", 0);
        return;
      }
      const refused = addresses.find(({ address }) => !isAllowed(address));
      if (refused !== undefined) {
        callback(new Error(`${hostname} resolves to an address that may not be connected to`), "", 0);
        return;
      }
      if (options.all === true) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };
}
