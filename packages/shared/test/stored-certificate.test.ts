import { expect, test } from "@jest/globals";
import { parseStoredCertificate } from "../src/stored-certificate.ts";

test("a stored certificate needs its chain and its sealed key; other fields may stand beside them", () => {
  const document = {
    fullchain_pem: "chain",
    private_key: "v1.x.y",
    expires_at: 1_900_000_000,
    source: "acme",
    note: 1,
  };
  const { note: _note, ...known } = document;
  expect(parseStoredCertificate(JSON.stringify(document))).toEqual(known);
});

test.each([
  "",
  "{",
  "null",
  "[]",
  "{}",
  '{"fullchain_pem":"chain"}',
  '{"fullchain_pem":1,"private_key":"x"}',
])("%j is none", (text) => {
  expect(parseStoredCertificate(text)).toBeUndefined();
});
