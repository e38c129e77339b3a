import { inspect } from "node:util";
import { describe, expect, test } from "@jest/globals";
import { parseHostname, type Hostname } from "../src/hostname.ts";
import { newSecretKey, SealingKeys } from "../src/sealing.ts";

const NAME = "cert:simple.example.com";

function keysOf(current: string, ...old: string[]): SealingKeys {
  const keys = SealingKeys.parse(current, old);
  if (keys === undefined) throw new Error("the key text was refused");
  return keys;
}

function hostname(text: string): Hostname {
  const parsed = parseHostname(text);
  if (!parsed.ok) throw new Error(parsed.problem);
  return parsed.hostname;
}

describe("a sealed value", () => {
  const keys = keysOf(newSecretKey());

  test("opens under its name, text and octets alike", () => {
    expect(keys.open(NAME, keys.seal(NAME, "a private key ✓"))?.toString()).toBe("a private key ✓");
    const octets = Buffer.from([0, 255, 128, 10]);
    expect(keys.open(NAME, keys.seal(NAME, octets))).toEqual(octets);
    expect(keys.open(NAME, keys.seal(NAME, ""))).toEqual(Buffer.alloc(0));
  });

  test("is v1, the key id and base64url, and never the same twice", () => {
    const first = keys.seal(NAME, "secret");
    expect(first).toMatch(/^v1\.[A-Za-z0-9_-]{8}\.[A-Za-z0-9_-]+$/);
    expect(keys.seal(NAME, "secret")).not.toBe(first);
  });

  test("does not open under another name", () => {
    expect(keys.open("cert:other.example.com", keys.seal(NAME, "secret"))).toBeUndefined();
  });

  test("does not open once any octet was altered", () => {
    const sealed = keys.seal(NAME, "secret");
    const [format, id, text = ""] = sealed.split(".");
    const bytes = Buffer.from(text, "base64url");
    for (let at = 0; at < bytes.length; at += 1) {
      const altered = Buffer.from(bytes);
      altered.writeUInt8(bytes.readUInt8(at) ^ 1, at);
      expect(keys.open(NAME, `${format}.${id}.${altered.toString("base64url")}`)).toBeUndefined();
    }
    // The control: the same steps without a change do open.
    expect(keys.open(NAME, `${format}.${id}.${bytes.toString("base64url")}`)?.toString()).toBe("secret");
  });

  test("does not open when cut, lengthened, re-labelled or foreign", () => {
    const sealed = keys.seal(NAME, "secret");
    const foreign = [
      sealed.slice(0, -2),
      `${sealed}AA`,
      `${sealed}.`,
      sealed.replace("v1", "v2"),
      sealed.replace(/\.[^.]+\./, ".AAAAAAAA."),
      `${sealed}=`,
      sealed.replace(/.$/, " "),
      "",
      "v1..",
      "v1.AAAAAAAA.",
      "plain text",
    ];
    for (const text of foreign) expect([text, keys.open(NAME, text)]).toEqual([text, undefined]);
  });

  test("holds nothing of the plain text", () => {
    const sealed = keys.seal(NAME, "octocat-octocat-octocat");
    expect(Buffer.from(sealed.split(".")[2] ?? "", "base64url").includes("octocat")).toBe(false);
  });
});

describe("keys", () => {
  test("that are old open and never seal", () => {
    const [oldText, newText] = [newSecretKey(), newSecretKey()];
    const before = keysOf(oldText).seal(NAME, "kept");
    const rotated = keysOf(newText, oldText);
    expect(rotated.open(NAME, before)?.toString()).toBe("kept");
    const after = rotated.seal(NAME, "new");
    expect(keysOf(oldText).open(NAME, after)).toBeUndefined();
    expect(keysOf(newText).open(NAME, after)?.toString()).toBe("new");
    expect(keysOf(newText).open(NAME, before)).toBeUndefined();
  });

  test("are 32 octets in strict base64url, anything else is refused", () => {
    const good = newSecretKey();
    expect(good).toHaveLength(43);
    expect(SealingKeys.parse(good, [])).toBeDefined();
    const short = Buffer.alloc(31, 7).toString("base64url");
    const long = Buffer.alloc(33, 7).toString("base64url");
    for (const text of [
      "",
      short,
      long,
      `${good}=`,
      ` ${good}`,
      `${good}\n`,
      "hostname:",
      `hostname:${good}`,
    ]) {
      expect([text, SealingKeys.parse(text, [])]).toEqual([text, undefined]);
      expect([text, SealingKeys.parse(good, [text])]).toEqual([text, undefined]);
    }
  });

  test("derive one stable secret per purpose, apart from each other and from the key", () => {
    const text = newSecretKey();
    const keys = keysOf(text);
    const tickets = keys.derive("session tickets", 48);
    expect(tickets).toHaveLength(48);
    expect(keysOf(text, newSecretKey()).derive("session tickets", 48)).toEqual(tickets);
    const cookies = keys.derive("cookies", 48);
    expect(cookies).not.toEqual(tickets);
    expect(tickets.includes(Buffer.from(text, "base64url"))).toBe(false);
  });

  test("show no secret when inspected or printed as JSON", () => {
    const text = newSecretKey();
    const shown = inspect(keysOf(text), { depth: 9, showHidden: true }) + JSON.stringify(keysOf(text));
    expect(shown).not.toContain(text);
    expect(shown).not.toMatch(/[0-9a-f]{2} [0-9a-f]{2} [0-9a-f]{2}/); // as a Buffer prints
  });
});

describe("a hostname's own keys", () => {
  const a = hostname("a.example.com");
  const b = hostname("b.example.com");
  const rootText = newSecretKey();
  const root = keysOf(rootText);

  test("open what the root keys sealed for that hostname, after a trip through text", () => {
    const sealed = root.forHostname(a)!.seal("cert:a.example.com", "secret");
    const { current, old } = root.forHostname(a)!.texts();
    expect(current).toMatch(/^hostname:a\.example\.com:[A-Za-z0-9_-]{43}$/);
    const own = keysOf(current, ...old);
    expect(own.hostname).toBe(a);
    expect(own.open("cert:a.example.com", sealed)?.toString()).toBe("secret");
    expect(own.forHostname(a)!.open("cert:a.example.com", sealed)?.toString()).toBe("secret");
    expect(root.forHostname(a)!.derive("tickets", 16)).toEqual(own.derive("tickets", 16));
  });

  test("carry the old keys along", () => {
    const sealed = root.forHostname(a)!.seal("x", "kept");
    const { current, old } = keysOf(newSecretKey(), rootText).forHostname(a)!.texts();
    expect(
      keysOf(current, ...old)
        .open("x", sealed)
        ?.toString(),
    ).toBe("kept");
    expect(keysOf(current).open("x", sealed)).toBeUndefined();
  });

  test("are useless for another hostname and for what the root keys sealed", () => {
    const own = keysOf(root.forHostname(a)!.texts().current);
    expect(own.forHostname(b)).toBeUndefined();
    expect(own.open("x", root.forHostname(b)!.seal("x", "secret"))).toBeUndefined();
    expect(own.open("x", root.seal("x", "secret"))).toBeUndefined();
    expect(own.texts().current).not.toContain(rootText);
  });

  test("do not mix with root keys or with those of another hostname", () => {
    const own = root.forHostname(a)!.texts().current;
    expect(SealingKeys.parse(own, [rootText])).toBeUndefined();
    expect(SealingKeys.parse(rootText, [own])).toBeUndefined();
    expect(SealingKeys.parse(own, [root.forHostname(b)!.texts().current])).toBeUndefined();
  });

  test("survive the root key's own text form", () => {
    const { current } = keysOf(rootText).texts();
    expect(current).toBe(rootText);
  });
});
