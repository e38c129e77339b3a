import { isIPv4 } from "node:net";

/** Returns the 16 octets of a valid IPv6 address without zone, in any spelling (RFC 4291 section 2.2). */
export function ipv6Octets(ip: string): number[] {
  const dotted = ip.lastIndexOf(":") + 1;
  const isDotted = isIPv4(ip.slice(dotted));
  const tail = isDotted ? ip.slice(dotted).split(".").map(Number) : [];
  // Without the dotted end, "::" may be all that is left of "::1.2.3.4", and "1:2:" of "1:2:1.2.3.4".
  const text = isDotted ? ip.slice(0, dotted).replace(/([^:]):$/, "$1") : ip;
  const [head = "", rest] = text.split("::");
  const before = groupOctets(head);
  const after = [...groupOctets(rest ?? ""), ...tail];
  return [...before, ...Array<number>(16 - before.length - after.length).fill(0), ...after];
}

function groupOctets(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}
