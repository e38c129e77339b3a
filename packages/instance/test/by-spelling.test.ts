import { expect, test } from "@jest/globals";
import { bySpelling } from "../src/by-spelling.ts";

test("decides once for each spelling, and again once it has forgotten", () => {
  const asked: string[] = [];
  const lower = bySpelling((name) => {
    asked.push(name);
    return name.toLowerCase();
  });
  expect([lower("Host"), lower("HOST"), lower("Host")]).toEqual(["host", "host", "host"]);
  expect(asked).toEqual(["Host", "HOST"]);
  for (let at = 0; at < 1023; at++) lower(`Made-Up-${at}`);
  expect(lower("Host")).toBe("host");
  expect(asked).toHaveLength(2 + 1023 + 1);
});

test("remembers that a name stands for nothing", () => {
  let asked = 0;
  const nothing = bySpelling(() => {
    asked += 1;
    return "";
  });
  expect([nothing("a"), nothing("a"), asked]).toEqual(["", "", 1]);
});
