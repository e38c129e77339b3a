import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import type { Hostname } from "@gatehouse/shared/hostname";
import type { KeyPair } from "@gatehouse/shared/certificate";
import { der, derTime } from "./der.ts";

const ECDSA_WITH_SHA256 = Buffer.from("300a06082a8648ce3d040302", "hex");
const COMMON_NAME = Buffer.from("0603550403", "hex");
const SUBJECT_ALTERNATIVE_NAME = Buffer.from("0603551d11", "hex");
const VERSION_3 = Buffer.from("a003020102", "hex");
/** A clock that is a little behind ours must not find the certificate "not yet valid". */
const BACKDATED_MS = 3_600_000;

export interface SelfSignedOptions {
  readonly commonName: string;
  readonly lifetimeMs: number;
  /** Complete DER extensions beside the alternative name. */
  readonly extensions?: readonly Buffer[];
}

/** Returns a fresh P-256 key and a self-signed certificate (RFC 5280 section 4.1) that names exactly the hostname, both PEM. */
export function makeSelfSigned(hostname: Hostname, options: SelfSignedOptions): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const name = der(0x30, der(0x31, der(0x30, COMMON_NAME, der(0x0c, Buffer.from(options.commonName)))));
  const names = der(0x30, der(0x82, Buffer.from(hostname)));
  const alternativeName = der(0x30, SUBJECT_ALTERNATIVE_NAME, der(0x04, names));
  const now = Date.now();
  const content = der(
    0x30,
    VERSION_3,
    der(0x02, Buffer.of(1), randomBytes(15)),
    ECDSA_WITH_SHA256,
    name,
    der(0x30, derTime(now - BACKDATED_MS), derTime(now + options.lifetimeMs)),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, der(0x30, alternativeName, ...(options.extensions ?? []))),
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
