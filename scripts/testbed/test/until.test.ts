import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "@jest/globals";
import { until } from "../until.ts";

test("asks again until there is an answer", async () => {
  const answers = [undefined, null, false, 0];
  expect(await until(() => answers.shift())).toBe(0);
  expect(answers).toEqual([]);
});

test("asks again until one passes, errors included", async () => {
  let asked = 0;
  const ask = (): number => {
    asked += 1;
    if (asked === 2) throw new Error("away");
    return asked;
  };
  expect(await until(ask, (answer) => answer > 2)).toBe(3);
});

test.each([
  ["the last answer", () => 7, "last: 7"],
  ["the last error", () => Promise.reject(new Error("away")), "last: Error: away"],
  ["that none came", () => new Promise<never>(() => undefined), "last: no answer came"],
])("says %s when the time is over", async (_what, ask: () => unknown, words) => {
  await expect(until(ask, () => false, 50)).rejects.toThrow(words);
});

test("an answer that comes too late is none, and its error nobody's", async () => {
  const late = async (): Promise<never> => {
    await delay(60);
    throw new Error("late");
  };
  await expect(until(late, () => true, 20)).rejects.toThrow("no answer came");
  await delay(80);
});
