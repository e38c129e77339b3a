import { createHash, generateKeyPairSync, randomBytes, sign, type KeyObject } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import * as der from "./der.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

/** Long enough for a demo left running over a holiday, short enough to be worth nothing when it leaks. */
const LIFETIME_DAYS = 8;

/** A clock that is a little behind ours must not find the certificate "not yet valid". */
const BACKDATED_MS = 60 * 60 * 1000;

const ECDSA_WITH_SHA256 = der.sequence(der.objectIdentifier("1.2.840.10045.4.3.2"));

/** What `issue` returns: the files, and what is in them. */
export interface IssuedCertificate {
  readonly certPath: string;
  readonly keyPath: string;
  readonly certPem: string;
  readonly keyPem: string;
}

export interface IssueOptions {
  readonly notAfter?: Date;
  /** Good for a client too: servers that speak to each other. Default false. */
  readonly isForClients?: boolean;
}

/** A throw-away authority; its key exists only in this process's memory. */
export interface CertificateAuthority {
  readonly caPath: string;
  readonly caPem: string;
  /** Issues a server certificate for host names, `*.` names and IP addresses; the first names the files. */
  issue(names: readonly string[], options?: IssueOptions): Promise<IssuedCertificate>;
}

/**
 * Makes an authority whose files (`ca.pem`, `NAME.pem`, `NAME.key`) are kept in `directory`. ECDSA P-256, accepted by browsers,
 * curl and OpenSSL. Written with node:crypto and a little DER, because a machine that has Node need not have openssl.
 */
export async function createCertificateAuthority(directory: string): Promise<CertificateAuthority> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  // Each authority has a name of its own: some clients tell two of the same name apart badly.
  const name = `Throw-away CA ${randomBytes(4).toString("hex")}`;
  const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const issuer: Issuer = { name, key: keys.privateKey, keyId: keyIdentifier(keys.publicKey) };
  const ownExtensions = [
    extension("2.5.29.19", der.sequence(der.boolean(true)), true), // basic constraints: an authority
    extension("2.5.29.15", der.bitString(Buffer.from([0x06]), 1), true), // key usage: certificates, revocation lists
  ];
  const caPem = certificate(issuer, { name, publicKey: keys.publicKey, extensions: ownExtensions });
  const caPath = join(directory, "ca.pem");
  await writeFile(caPath, caPem);
  return {
    caPath,
    caPem,
    issue: async (names, options = {}) => {
      const [first] = names;
      if (first === undefined) throw new Error("a certificate needs a name");
      const leaf = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const subject = {
        name: first,
        publicKey: leaf.publicKey,
        extensions: serverExtensions(names, options.isForClients ?? false),
        ...(options.notAfter === undefined ? {} : { notAfter: options.notAfter }),
      };
      const certPem = certificate(issuer, subject);
      const keyPem = leaf.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
      const file = join(directory, first.replaceAll(/[*:]/g, "_"));
      await writeFile(`${file}.key`, keyPem, { mode: 0o600 });
      await writeFile(`${file}.pem`, certPem);
      return { certPath: `${file}.pem`, keyPath: `${file}.key`, certPem, keyPem };
    },
  };
}

interface Issuer {
  readonly name: string;
  readonly key: KeyObject;
  readonly keyId: Buffer;
}

interface Subject {
  readonly name: string;
  readonly publicKey: KeyObject;
  readonly extensions: readonly Buffer[];
  readonly notAfter?: Date;
}

/** A version 3 certificate (RFC 5280 section 4.1) in PEM. */
function certificate(issuer: Issuer, subject: Subject): string {
  const now = Date.now();
  const notAfter = subject.notAfter ?? new Date(now + LIFETIME_DAYS * DAY_MS);
  const notBefore = new Date(Math.min(now, notAfter.getTime()) - BACKDATED_MS);
  const extensions = [
    ...subject.extensions,
    extension("2.5.29.14", der.octetString(keyIdentifier(subject.publicKey))),
    extension("2.5.29.35", der.sequence(der.contextTag(0, issuer.keyId, false))),
  ];
  const content = der.sequence(
    der.contextTag(0, der.integer(Buffer.from([2])), true),
    der.integer(Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    ECDSA_WITH_SHA256,
    commonName(issuer.name),
    der.sequence(der.time(notBefore), der.time(notAfter)),
    commonName(subject.name),
    subject.publicKey.export({ type: "spki", format: "der" }),
    der.contextTag(3, der.sequence(...extensions), true),
  );
  const signature = sign("sha256", content, issuer.key);
  const whole = der.sequence(content, ECDSA_WITH_SHA256, der.bitString(signature));
  const lines = whole.toString("base64").replaceAll(/.{64}(?=.)/g, "$&\n");
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}

function serverExtensions(names: readonly string[], isForClients: boolean): Buffer[] {
  const usages = ["1.3.6.1.5.5.7.3.1", ...(isForClients ? ["1.3.6.1.5.5.7.3.2"] : [])]; // TLS server, TLS client
  return [
    extension("2.5.29.19", der.sequence(), true), // basic constraints: not an authority
    extension("2.5.29.15", der.bitString(Buffer.from([0x80]), 7), true), // key usage: digital signature
    extension("2.5.29.37", der.sequence(...usages.map((usage) => der.objectIdentifier(usage)))),
    extension("2.5.29.17", der.sequence(...names.map(alternativeName))),
  ];
}

function extension(id: string, value: Buffer, isCritical = false): Buffer {
  const critical = isCritical ? [der.boolean(true)] : [];
  return der.sequence(der.objectIdentifier(id), ...critical, der.octetString(value));
}

function commonName(name: string): Buffer {
  // 64 characters is the field's upper bound (RFC 5280 appendix A.1); the names that count are the alternative ones.
  const value = der.utf8String(name.slice(0, 64));
  return der.sequence(der.set(der.sequence(der.objectIdentifier("2.5.4.3"), value)));
}

function alternativeName(name: string): Buffer {
  if (isIP(name) === 0) return der.contextTag(2, Buffer.from(name), false);
  return der.contextTag(7, addressBytes(name), false);
}

/** 4 or 16 bytes, network order. */
function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split(".").map(Number));
  const [head = "", tail] = address.split("::");
  const groups = (part: string): number[] =>
    part === "" ? [] : part.split(":").map((group) => parseInt(group, 16));
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  const middle = Array.from({ length: 8 - front.length - back.length }, () => 0);
  return Buffer.from([...front, ...middle, ...back].flatMap((group) => [group >>> 8, group & 0xff]));
}

/** SHA-1 of the key as RFC 5280 section 4.2.1.2 (1) suggests; an identifier, not a security measure. */
function keyIdentifier(key: KeyObject): Buffer {
  const { x = "", y = "" } = key.export({ format: "jwk" });
  const point = Buffer.concat([Buffer.from([4]), Buffer.from(x, "base64url"), Buffer.from(y, "base64url")]);
  return createHash("sha1").update(point).digest();
}
