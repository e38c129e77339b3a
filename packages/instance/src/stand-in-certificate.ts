import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import type { Hostname } from "@gatehouse/shared/hostname";
import type { KeyPair } from "./certificate.ts";

/*
 * A self-signed certificate (RFC 5280 section 4.1) for the time until there is a real one: handshakes complete, every peer that
 * verifies refuses it, and the record says so. Node can read certificates but not make them, hence the few lines of DER.
 */

const LIFETIME_MS = 365 * 86_400_000;
const ECDSA_WITH_SHA256 = Buffer.from("300a06082a8648ce3d040302", "hex");
const COMMON_NAME = Buffer.from("0603550403", "hex");
const SUBJECT_ALTERNATIVE_NAME = Buffer.from("0603551d11", "hex");
const VERSION_3 = Buffer.from("a003020102", "hex");

/** Returns a fresh P-256 key and a certificate for the hostname, both PEM. */
export function makeStandIn(hostname: Hostname): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const name = der(0x30, der(0x31, der(0x30, COMMON_NAME, der(0x0c, Buffer.from("Gatehouse stand-in")))));
  const names = der(0x30, der(0x82, Buffer.from(hostname)));
  const extensions = der(0x30, der(0x30, SUBJECT_ALTERNATIVE_NAME, der(0x04, names)));
  const now = Date.now();
  const content = der(
    0x30,
    VERSION_3,
    der(0x02, Buffer.of(1), randomBytes(15)),
    ECDSA_WITH_SHA256,
    name,
    der(0x30, time(now - 3_600_000), time(now + LIFETIME_MS)),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, extensions),
  );
  const signature = der(0x03, Buffer.of(0), sign("sha256", content, privateKey));
  const lines = der(0x30, content, ECDSA_WITH_SHA256, signature)
    .toString("base64")
    .replaceAll(/.{64}(?=.)/g, "$&\n");
  return {
    chainPem: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
    keyPem: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

/** One type-length-value; content here stays below 64 KiB. */
function der(tag: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), content]);
}

/** UTCTime, which serves until 2049 (RFC 5280 section 4.1.2.5). */
function time(milliseconds: number): Buffer {
  const digits = new Date(milliseconds).toISOString().replaceAll(/\.\d+|[-:T]/g, "");
  return der(0x17, Buffer.from(digits.slice(2)));
}
