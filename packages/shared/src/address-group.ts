import { isIPv6 } from "node:net";

/**
 * Returns what limits by address count by: the first four groups of an IPv6 address, whose owner has every address in them, and any
 * other address as it is.
 */
export function addressGroup(ip: string): string {
  // Most addresses are IPv4, and Node's test for IPv6 is a long regular expression.
  if (!ip.includes(":") || !isIPv6(ip)) return ip;
  const [head = "", tail] = ip.toLowerCase().split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const groups =
    tail === undefined ? left : [...left, ...Array(8 - left.length - right.length).fill("0"), ...right];
  return groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ""))
    .join(":");
}
