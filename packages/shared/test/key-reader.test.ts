import { expect, test } from "@jest/globals";
import { KeyReader } from "../src/key-reader.ts";
import { until } from "@gatehouse/testbed/until";

type Texts = readonly (string | null)[];

interface Batch {
  readonly keys: readonly string[];
  resolve(texts: Texts): void;
  reject(error: Error): void;
}

/** A reader whose answers the test gives, so that what overtakes what is not left to chance. */
function readerByHand(): { reader: KeyReader; batches: Batch[]; kept: string[] } {
  const batches: Batch[] = [];
  const kept: string[] = [];
  const reader = new KeyReader({
    read: (keys) => {
      const { promise, resolve, reject } = Promise.withResolvers<Texts>();
      batches.push({ keys, resolve, reject });
      return promise;
    },
    onSend: () => {
      const number = batches.length;
      return (key, text) => kept.push(`${key}=${text} in ${number}`);
    },
  });
  return { reader, batches, kept };
}

test("an answer that an invalidation has overtaken is given to who asked and not kept", async () => {
  const { reader, batches, kept } = readerByHand();
  const before = reader.read("a");
  await until(() => batches.length === 1);
  reader.distrust("a");
  const after = reader.read("a");
  batches[0]?.resolve(["old"]);
  expect(await before).toBe("old");
  expect(kept).toEqual([]);
  await until(() => batches.length === 2);
  batches[1]?.resolve(["new"]);
  expect(await after).toBe("new");
  expect(kept).toEqual(["a=new in 1"]);
});

test("an invalidation of one key leaves the others of the batch", async () => {
  const { reader, batches, kept } = readerByHand();
  const all = Promise.all([reader.read("a"), reader.read("b")]);
  await until(() => batches.length === 1);
  reader.distrust("a");
  batches[0]?.resolve(["1", null]);
  expect(await all).toEqual(["1", undefined]);
  expect(kept).toEqual(["b=undefined in 0"]);
});

test("after distrusting all, nothing that is in the air is kept", async () => {
  const { reader, batches, kept } = readerByHand();
  const all = Promise.all([reader.read("a"), reader.read("b")]);
  await until(() => batches.length === 1);
  reader.distrustAll();
  batches[0]?.resolve(["1", "2"]);
  await all;
  expect(kept).toEqual([]);
});

test("a key asked for many times is read once, and keys gather while a batch is in the air", async () => {
  const { reader, batches } = readerByHand();
  const first = [reader.read("a"), reader.read("a")];
  await until(() => batches.length === 1);
  const second = [reader.read("a"), reader.read("b"), reader.read("c"), reader.read("b")];
  batches[0]?.resolve(["1"]);
  await Promise.all(first);
  await until(() => batches.length === 2);
  batches[1]?.resolve(["2", "3"]);
  expect(await Promise.all(second)).toEqual(["1", "2", "3", "2"]);
  expect(batches.map(({ keys }) => keys)).toEqual([["a"], ["b", "c"]]);
});

test("a large crowd goes out in batches of 500", async () => {
  const { reader, batches } = readerByHand();
  const all = Promise.all(Array.from({ length: 1_200 }, (_, at) => reader.read(`${at}`)));
  for (const size of [500, 500, 200]) {
    await until(() => batches.length > 0);
    const batch = batches.shift();
    expect(batch?.keys).toHaveLength(size);
    batch?.resolve(batch.keys);
  }
  expect(await all).toEqual(Array.from({ length: 1_200 }, (_, at) => `${at}`));
});

test("a batch that fails rejects for those who asked, and the next one goes out", async () => {
  const { reader, batches } = readerByHand();
  const failing = reader.read("a");
  await until(() => batches.length === 1);
  const waiting = reader.read("b");
  batches[0]?.reject(new Error("connection lost"));
  await expect(failing).rejects.toThrow("connection lost");
  await until(() => batches.length === 2);
  batches[1]?.resolve(["1"]);
  expect(await waiting).toBe("1");
});
