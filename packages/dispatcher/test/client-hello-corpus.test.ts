/** Every captured hello, cut everywhere, compared with what a real TLS stack makes of the same octets. */
import { readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "@jest/globals";
import { createCertificateAuthority } from "@gatehouse/testbed/certificate-authority";
import { ClientHelloReader, type HelloRead } from "../src/client-hello.ts";
import { CORPUS, CORPUS_ENTRIES, flightOf, type CorpusEntry } from "./support/corpus.ts";
import { messageOf, recordsCutAt, recordsOf } from "./support/hello-bytes.ts";
import { canonicalName, inSevenBits, TlsStack, type StackView } from "./support/tls-stack.ts";

/**
 * The reader is asked at every cut, always. The stack, which takes a millisecond for each, is asked at every `STRIDE`th one, from another
 * start for each hello; `GATEHOUSE_TEST_CORPUS=every` asks it at all of them (some three minutes).
 */
const STRIDE = process.env["GATEHOUSE_TEST_CORPUS"] === "every" ? 1 : 89;

const HANDSHAKE = 22;

let stack: TlsStack;

beforeAll(async () => {
  const directory = await mkdtemp(join(tmpdir(), "corpus-"));
  const authority = await createCertificateAuthority(directory);
  const { certPem, keyPem } = await authority.issue(["simple-oauth.example.com"]);
  stack = new TlsStack({ cert: certPem, key: keyPem });
  await rm(directory, { recursive: true });
});

function read(...segments: readonly Buffer[]): HelloRead {
  const reader = new ClientHelloReader();
  return segments.map((segment) => reader.push(segment)).at(-1) ?? { kind: "incomplete" };
}

/** The stack's answer in the reader's words; `length` is what the records take, which no stack tells. */
function asRead(view: StackView, entry: CorpusEntry, length: number): HelloRead {
  return {
    kind: "hello",
    serverName: canonicalName(view.name) as never,
    alpn: view.alpn,
    hasEch: entry.facts.includes("ech"),
    length,
  };
}

function stridesOf(length: number, start: number): number[] {
  const cuts: number[] = [];
  for (let cut = 1 + (start % STRIDE); cut < length; cut += STRIDE) cuts.push(cut);
  return cuts;
}

test("the manifest lists every file of the corpus, and no other", () => {
  expect(CORPUS_ENTRIES.length).toBeGreaterThan(50);
  const files = readdirSync(CORPUS).filter((name) => name.endsWith(".bin"));
  expect(CORPUS_ENTRIES.map(({ file }) => file).toSorted()).toEqual(files.toSorted());
  for (const entry of CORPUS_ENTRIES)
    expect([entry.file, flightOf(entry).length]).toEqual([entry.file, entry.octets]);
});

test.each([
  "chromium",
  "firefox",
  "curl",
  "openssl",
  "gnutls",
  "nss",
  "go",
  "node20",
  "node24",
  "node26",
  "java",
])("%s is in the corpus, resuming a session too", (client) => {
  const facts = CORPUS_ENTRIES.filter((entry) => entry.client === client).map((entry) => entry.facts);
  expect(facts.some((words) => words.includes("pre-shared key") || words.includes("session ticket"))).toBe(
    true,
  );
  expect(facts.some((words) => !words.includes("pre-shared key"))).toBe(true);
});

test.each([
  "grease",
  "ech",
  "X25519MLKEM768 key share",
  "no server name",
  "session ticket",
  "pre-shared key",
])("hellos with and without: %s", (fact) => {
  const having = CORPUS_ENTRIES.filter(({ facts }) => facts.includes(fact));
  expect(having.length).toBeGreaterThan(1);
  expect(having.length).toBeLessThan(CORPUS_ENTRIES.length);
});

describe.each(CORPUS_ENTRIES.map((entry, index) => ({ ...entry, index })))("$file", (entry) => {
  const flight = flightOf(entry);
  const whole = messageOf(flight);

  test("cut at every octet into two segments, and octet by octet", async () => {
    const view = await stack.see(flight);
    expect(view.answer).toBe(HANDSHAKE);
    const expected = JSON.stringify(asRead(view, entry, flight.length));
    const wrong: number[] = [];
    for (let cut = 0; cut < flight.length; cut++) {
      const reader = new ClientHelloReader();
      if (reader.push(flight.subarray(0, cut)).kind !== "incomplete") wrong.push(cut);
      if (JSON.stringify(reader.push(flight.subarray(cut))) !== expected) wrong.push(cut);
    }
    expect(wrong).toEqual([]);
    expect(JSON.stringify(read(...Array.from(flight, (octet) => Buffer.of(octet))))).toBe(expected);
  });

  test("cut short anywhere, the stack needs more as well", async () => {
    for (const cut of stridesOf(flight.length, entry.index)) {
      const view = await stack.see(flight.subarray(0, cut));
      expect([cut, view]).toEqual([cut, { answer: undefined, name: undefined, alpn: [] }]);
    }
  });

  test("its message cut at every octet into two records", async () => {
    const view = await stack.see(flight);
    const expected = JSON.stringify(asRead(view, entry, whole.length + 10));
    const wrong: number[] = [];
    for (let cut = 1; cut < whole.length; cut++)
      if (JSON.stringify(read(recordsCutAt(whole, [cut]))) !== expected) wrong.push(cut);
    expect(wrong).toEqual([]);
    for (const cut of stridesOf(whole.length, entry.index))
      expect([cut, await stack.see(recordsCutAt(whole, [cut]))]).toEqual([cut, view]);
  });

  test("in records of one, two, 100 octets, as the stack reads it too", async () => {
    for (const size of [1, 2, 100]) {
      const stream = recordsOf(whole, size);
      const view = await stack.see(stream);
      expect(view.answer).toBe(HANDSHAKE);
      expect(read(stream)).toEqual(asRead({ ...view, alpn: inSevenBits(view.alpn) }, entry, stream.length));
    }
  });
});
