const DOT = ".".charCodeAt(0);
const DIGIT_0 = "0".charCodeAt(0);

/**
 * Returns the four octets of what Node's `isIPv4` takes (decimal, no leading zero), and undefined for any other text. Digit by digit: this
 * runs several times for every connection, and to test and split costs five times as much.
 */
export function ipv4Octets(text: string): number[] | undefined {
  const octets: number[] = [];
  let octet = -1; // none begun
  for (let index = 0; index <= text.length; index++) {
    const code = index < text.length ? text.charCodeAt(index) : DOT;
    if (code === DOT) {
      if (octet === -1) return undefined;
      octets.push(octet);
      octet = -1;
    } else {
      const digit = code - DIGIT_0;
      if (digit < 0 || digit > 9 || octet === 0) return undefined;
      octet = octet === -1 ? digit : octet * 10 + digit;
      if (octet > 255) return undefined;
    }
  }
  return octets.length === 4 ? octets : undefined;
}

/** Returns the 16 octets of a valid IPv6 address without zone, in any spelling (RFC 4291 section 2.2). */
export function ipv6Octets(ip: string): number[] {
  const dotted = ip.lastIndexOf(":") + 1;
  const tail = ipv4Octets(ip.slice(dotted));
  // Without the dotted end, "::" may be all that is left of "::1.2.3.4", and "1:2:" of "1:2:1.2.3.4".
  const text = tail ? ip.slice(0, dotted).replace(/([^:]):$/, "$1") : ip;
  const [head = "", rest] = text.split("::");
  const before = groupOctets(head);
  const after = [...groupOctets(rest ?? ""), ...(tail ?? [])];
  return [...before, ...Array<number>(16 - before.length - after.length).fill(0), ...after];
}

function groupOctets(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}
