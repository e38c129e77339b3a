import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { parseHostname, type Hostname } from "./hostname.ts";

/** Octets of a secret key, of the AES-256 keys made from it, and of HKDF-SHA256's own output. */
const KEY_BYTES = 32;
/** GCM nonce (NIST SP 800-38D 8.2.2). Random, so one key may seal 2^32 values; a host seals some thousands in its life. */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Long enough that two keys of one installation never share an id; a clash would only cost a second attempt to open. */
const KEY_ID_BYTES = 6;
/** Format of a sealed value; another cipher or layout gets another word. */
const FORMAT = "v1";
/** Begins the text of a key that is good for one hostname. A colon is no base64url character, so a root key never looks so. */
const HOSTNAME_KEY_WORD = "hostname:";

interface SealingKey {
  readonly id: string;
  readonly secret: Buffer;
  readonly cipherKey: Buffer;
}

/**
 * Keys that make a Redis dump alone useless: values are sealed with AES-256-GCM under a key that Redis never sees, bound to the
 * name they are stored under (associated data), so that a value moved to another name does not open. The newest key seals, older
 * ones only open. Every use has a key of its own by HKDF-SHA256 (RFC 5869), and so has every hostname: an instance can be given
 * its own keys without those of the other hosts. The secrets are private fields and never printed by inspection.
 */
export class SealingKeys {
  /** The hostname these keys are good for; undefined for root keys. */
  readonly hostname: Hostname | undefined;
  readonly #current: SealingKey;
  readonly #old: readonly SealingKey[];

  private constructor(hostname: Hostname | undefined, keys: { current: Buffer; old: readonly Buffer[] }) {
    this.hostname = hostname;
    this.#current = makeKey(keys.current);
    this.#old = keys.old.map(makeKey);
  }

  /**
   * Reads a key as `GATEHOUSE_SECRET_KEY` holds it, with the older ones. A root key is 32 octets in base64url (43 characters); a
   * hostname's own key, from {@link texts}, is `hostname:NAME:` and the same. Undefined when one is neither, or when they are
   * not all root keys or all of one hostname.
   */
  static parse(current: string, old: readonly string[]): SealingKeys | undefined {
    const newest = parseKeyText(current);
    if (newest === undefined) return undefined;
    const secrets: Buffer[] = [];
    for (const text of old) {
      const key = parseKeyText(text);
      if (key === undefined || key.hostname !== newest.hostname) return undefined;
      secrets.push(key.secret);
    }
    return new SealingKeys(newest.hostname, { current: newest.secret, old: secrets });
  }

  /**
   * Returns the keys of one hostname: derived from root keys, or these very keys when they are that hostname's own. Undefined
   * when they belong to another hostname. A process that always goes through here works with either kind of key.
   */
  forHostname(hostname: Hostname): SealingKeys | undefined {
    if (this.hostname !== undefined) return this.hostname === hostname ? this : undefined;
    const derive = (key: SealingKey): Buffer => expand(key.secret, `hostname/${hostname}`, KEY_BYTES);
    return new SealingKeys(hostname, { current: derive(this.#current), old: this.#old.map(derive) });
  }

  /** The keys as {@link SealingKeys.parse} reads them. Secret: for the environment of an instance, never for a record or a page. */
  texts(): { current: string; old: string[] } {
    const word = this.hostname === undefined ? "" : `${HOSTNAME_KEY_WORD}${this.hostname}:`;
    const text = (key: SealingKey): string => word + key.secret.toString("base64url");
    return { current: text(this.#current), old: this.#old.map(text) };
  }

  /** Seals a value for the Redis key (or file) `name`: `v1.<key id>.<base64url of nonce, ciphertext, tag>`. */
  seal(name: string, plain: Buffer | string): string {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#current.cipherKey, nonce);
    cipher.setAAD(Buffer.from(name));
    const bytes = Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
    return `${FORMAT}.${this.#current.id}.${bytes.toString("base64url")}`;
  }

  /** Returns what was sealed under that name; undefined when it was altered, moved, or sealed with a key that is not here. */
  open(name: string, sealed: string): Buffer | undefined {
    const [format, id, text = "", ...rest] = sealed.split(".");
    if (format !== FORMAT || rest.length > 0) return undefined;
    const bytes = decodeBase64Url(text);
    if (bytes === undefined || bytes.length < NONCE_BYTES + TAG_BYTES) return undefined;
    for (const key of [this.#current, ...this.#old]) {
      const plain = key.id === id ? decrypt(key, { name, bytes }) : undefined;
      if (plain !== undefined) return plain;
    }
    return undefined;
  }

  /**
   * Returns key material for another use (session tickets, cookies), the same for the same purpose and newest key. Purposes are
   * apart from each other and from sealing. `bytes` is 1 to 8,160 (RFC 5869 section 2.3).
   */
  derive(purpose: string, bytes: number): Buffer {
    return expand(this.#current.secret, `purpose/${purpose}`, bytes);
  }
}

/** Returns the text of a fresh root key. */
export function newSecretKey(): string {
  return randomBytes(KEY_BYTES).toString("base64url");
}

function makeKey(secret: Buffer): SealingKey {
  return {
    secret,
    id: expand(secret, "key-id", KEY_ID_BYTES).toString("base64url"),
    cipherKey: expand(secret, "seal", KEY_BYTES),
  };
}

/** The secrets are uniformly random, so no salt is needed (RFC 5869 section 3.1); the first word of `info` keeps uses apart. */
function expand(secret: Buffer, info: string, bytes: number): Buffer {
  return Buffer.from(hkdfSync("sha256", secret, "", `gatehouse/1/${info}`, bytes));
}

function decrypt(key: SealingKey, sealed: { name: string; bytes: Buffer }): Buffer | undefined {
  const { name, bytes } = sealed;
  const decipher = createDecipheriv("aes-256-gcm", key.cipherKey, bytes.subarray(0, NONCE_BYTES), {
    // Without a fixed length Node accepts shorter tags, which are easier to forge.
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(Buffer.from(name));
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch {
    return undefined; // the tag does not match: not ours, altered, or under another name
  }
}

function parseKeyText(text: string): { hostname: Hostname | undefined; secret: Buffer } | undefined {
  if (!text.startsWith(HOSTNAME_KEY_WORD)) return withSecret(undefined, text);
  const [name = "", key = "", ...rest] = text.slice(HOSTNAME_KEY_WORD.length).split(":");
  const parsed = parseHostname(name);
  return parsed.ok && rest.length === 0 ? withSecret(parsed.hostname, key) : undefined;
}

function withSecret(
  hostname: Hostname | undefined,
  text: string,
): { hostname: Hostname | undefined; secret: Buffer } | undefined {
  const secret = decodeBase64Url(text);
  return secret?.length === KEY_BYTES ? { hostname, secret } : undefined;
}

/** Strict: Node's decoder skips what it does not know, so two different texts could mean the same octets. */
function decodeBase64Url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, "base64url");
  return bytes.toString("base64url") === text ? bytes : undefined;
}
