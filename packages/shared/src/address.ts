import { BlockList, isIP, isIPv4, isIPv6 } from "node:net";

/** One end of a connection: an IP address in canonical text (never `::ffff:1.2.3.4`) and a port, 0 where there is none. */
export interface Address {
  readonly ip: string;
  readonly port: number;
}

/** Source and destination of a connection as the peer's own kernel, or a trusted PROXY header, names them. */
export interface AddressPair {
  readonly source: Address;
  readonly destination: Address;
}

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/** Returns the address with an IPv4-mapped IPv6 form folded to IPv4, as a dual-stack socket reports it. */
export function canonicalIp(ip: string): string {
  if (!ip.includes(":")) return ip;
  const mapped = MAPPED.exec(ip)?.[1];
  return mapped !== undefined && isIPv4(mapped) ? mapped : ip;
}

/** A set of addresses and CIDR blocks, tested without allocation beyond Node's own. */
export class AddressList {
  readonly #blocks = new BlockList();
  readonly #texts: readonly string[];

  private constructor(texts: readonly string[]) {
    this.#texts = texts;
  }

  /** Parses entries such as `10.0.0.0/8`, `fd00::/8`, `192.0.2.7`; returns every entry that is neither, if any. */
  static parse(entries: readonly string[]): { ok: true; list: AddressList } | { ok: false; bad: string[] } {
    const list = new AddressList(entries);
    const bad = entries.filter((entry) => !list.#add(entry));
    return bad.length > 0 ? { ok: false, bad } : { ok: true, list };
  }

  get isEmpty(): boolean {
    return this.#texts.length === 0;
  }

  /** True when the address lies in the set; an IPv4-mapped address is tested as IPv4. False for anything that is no address. */
  has(ip: string): boolean {
    const address = canonicalIp(ip);
    const version = isIP(address);
    return version !== 0 && this.#blocks.check(address, version === 4 ? "ipv4" : "ipv6");
  }

  toString(): string {
    return this.#texts.join(",");
  }

  #add(entry: string): boolean {
    const match = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(entry);
    const ip = match?.[1] ?? "";
    const family = isIPv4(ip) ? "ipv4" : isIPv6(ip) && !ip.includes("%") ? "ipv6" : undefined;
    if (family === undefined) return false;
    const longest = family === "ipv4" ? 32 : 128;
    const prefix = match?.[2] === undefined ? longest : Number(match[2]);
    if (prefix > longest) return false;
    this.#blocks.addSubnet(ip, prefix, family);
    return true;
  }
}
