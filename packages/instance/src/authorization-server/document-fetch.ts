import { lookup as systemLookup, type LookupAddress, type LookupOptions } from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import { Agent, fetch as guardedFetch } from "undici";
import { AddressList, canonicalIp } from "@gatehouse/shared/address";

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
  /** Fetches that may start within a minute. Default 60. */
  readonly fetchesPerMinute?: number;
}

/**
 * Fetches what clients point at: metadata documents and key sets. The URL comes from anybody, so the connection is made only to an
 * address that was looked at: the check is the name resolution of the connection itself, and a name that answers differently a
 * moment later (DNS rebinding) is never asked again. No redirects; time and size are bounded by the engine (2.5 s, 5 KiB).
 */
export class DocumentFetcher {
  readonly #isAllowed: (address: string) => boolean;
  readonly #agent: Agent;
  readonly #limit: number;
  #window = 0;
  #started = 0;

  constructor(options: DocumentFetcherOptions = {}) {
    this.#isAllowed = options.isAllowedAddress ?? isPublicAddress;
    this.#limit = options.fetchesPerMinute ?? 60;
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

  /** True when the client id may be fetched: it has a path (MCP, "Client ID Metadata Documents") and the minute has room. */
  mayFetch(clientId: string): boolean {
    const url = URL.parse(clientId);
    if (url === null || url.pathname === "/" || !this.#mayConnect(url)) return false;
    const window = Math.floor(Date.now() / 60_000);
    if (window !== this.#window) this.#started = 0;
    this.#window = window;
    this.#started += 1;
    return this.#started <= this.#limit;
  }

  /** As `fetch`, for https URLs of allowed hosts only. */
  async fetch(url: string | URL | Request, init: RequestInit): Promise<Response> {
    const parsed = new URL(url instanceof Request ? url.url : url);
    if (!this.#mayConnect(parsed)) throw new TypeError("the address may not be connected to");
    const { signal } = init;
    const response = await guardedFetch(parsed, {
      method: "GET",
      headers: { accept: "application/json" },
      redirect: "manual",
      dispatcher: this.#agent,
      ...(signal === null || signal === undefined ? {} : { signal }),
    });
    if (response.status === 200 && !isJson(response.headers.get("content-type"))) {
      await response.body?.cancel();
      throw new TypeError("the document is not JSON");
    }
    return response;
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
