import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "@jest/globals";
import { until } from "@gatehouse/testbed/until";
import { ask, askNow, RoutesUnderTest } from "./support/routes-under-test.ts";

/** Keeps every write on disk, so that the server comes back with its data. */
const DURABLE = ["--appendonly", "yes", "--appendfsync", "always"];

let routes: RoutesUnderTest;

afterEach(async () => {
  await routes.stop();
});

async function snapshotHolds(text: string): Promise<void> {
  const path = join(routes.stateDir, "routes.json");
  await until(async () => (await readFile(path, "utf8").catch(() => "")).includes(text));
}

describe("while Redis is away", () => {
  test("known routes answer at once, others are unknown; when it is back nothing is trusted unread", async () => {
    routes = await RoutesUnderTest.start(DURABLE);
    await routes.operator.mset(
      "route:a.example",
      "1",
      "route:gone.example",
      "2",
      "route:*.wild.example",
      "3",
    );
    const table = await routes.started();
    expect(await ask(table, "a.example")).toBe("127.0.0.1:1");
    await snapshotHolds('"complete":true');

    await routes.server.kill();
    await until(() => !table.isFresh);
    expect(askNow(table, "a.example")).toBe("127.0.0.1:1");
    expect(askNow(table, "gone.example")).toBe("127.0.0.1:2"); // listed, though nobody had asked for it
    expect(askNow(table, "never-seen.wild.example")).toBe("127.0.0.1:3");
    expect(askNow(table, "nobody.example")).toBe("unknown");

    await routes.server.restart();
    await routes.operatorReady();
    await routes.operator.del("route:gone.example");
    await routes.operator.set("route:a.example", "4");
    await until(() => table.isFresh);
    await until(async () => (await ask(table, "a.example")) === "127.0.0.1:4");
    await until(async () => (await ask(table, "gone.example")) === "none");
    expect(await ask(table, "nobody.example")).toBe("none");
    expect(routes.told).toEqual(["lost", "regained"]);
  });

  test("that came back empty, the old routes end", async () => {
    routes = await RoutesUnderTest.start();
    await routes.operator.mset("route:a.example", "1", "route:*", "2");
    const regained = Promise.withResolvers<string>();
    const table = await routes.started({
      onStoreRegained: () => regained.resolve(ask(table, "a.example")),
    });
    expect(await ask(table, "a.example")).toBe("127.0.0.1:1");
    await routes.server.kill();
    await until(() => !table.isFresh);
    expect(await ask(table, "a.example")).toBe("127.0.0.1:1");
    await routes.server.restart();
    expect(await regained.promise).toBe("none"); // the first answer after the loss is a new one
    expect(await ask(table, "a.example")).toBe("none");
    expect(await ask(table, "")).toBe("none");
  });

  test("frozen: known routes never wait, new names are answered within seconds, and it recovers", async () => {
    routes = await RoutesUnderTest.start();
    await routes.operator.set("route:a.example", "1");
    const table = await routes.started();
    await ask(table, "a.example");
    await routes.server.kill("SIGSTOP");
    const asked = performance.now();
    const answer = ask(table, "new.example");
    expect(askNow(table, "a.example")).toBe("127.0.0.1:1");
    expect(await answer).toBe("unknown");
    expect(performance.now() - asked).toBeLessThan(4_000);
    await until(() => !table.isFresh);
    expect(askNow(table, "a.example")).toBe("127.0.0.1:1");
    await routes.server.kill("SIGCONT");
    await until(() => table.isFresh);
    await routes.operatorReady();
    await routes.operator.set("route:new.example", "2");
    await until(async () => (await ask(table, "new.example")) === "127.0.0.1:2");
  });

  test("a write made while either connection was cut is seen afterwards", async () => {
    routes = await RoutesUnderTest.start();
    const table = await routes.started();
    let port = 0;
    for (let round = 0; round < 6; round += 1) {
      await ask(table, "a.example");
      port += 1;
      const kind = round % 2 === 0 ? "normal" : "pubsub";
      // One transaction: the write follows the cut before this process can know of it.
      await routes.operator
        .multi()
        .call("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
        .set("route:a.example", String(port))
        .exec();
      await until(async () => (await ask(table, "a.example")) === `127.0.0.1:${port}`);
    }
    await until(() => table.isFresh);
  });

  test("a wildcard does not answer for a name that may have a route beyond the bound", async () => {
    routes = await RoutesUnderTest.start();
    const pairs = Array.from({ length: 50 }, (_, at) => [`route:h${at}.example`, "1"]).flat();
    await routes.operator.mset([...pairs, "route:*.example", "2"]);
    const table = await routes.started({ maxKeys: 10 });
    const path = join(routes.stateDir, "routes.json");
    await until(async () => (await readFile(path, "utf8").catch(() => "")).split(".example").length > 10);
    expect(await ask(table, "nobody.example")).toBe("127.0.0.1:2");
    expect(await ask(table, "h7.example")).toBe("127.0.0.1:1");
    await routes.server.kill();
    await until(() => !table.isFresh);
    expect(askNow(table, "h7.example")).toBe("127.0.0.1:1");
    expect(askNow(table, "nobody.example")).toBe("127.0.0.1:2"); // it is known to have no route of its own
    expect(askNow(table, "other.example")).toBe("unknown");
  });
});

describe("a start without Redis", () => {
  test("serves the snapshot at once, wildcards and bad values included, and trusts Redis when it is there", async () => {
    routes = await RoutesUnderTest.start(DURABLE);
    await routes.operator.mset("route:a.example", "1", "route:*.example", "2", "route:bad.example", "x");
    const before = await routes.started();
    await ask(before, "a.example");
    await snapshotHolds('"complete":true');
    await before.close();
    await routes.server.kill();

    const start = performance.now();
    const table = await routes.started();
    expect(performance.now() - start).toBeLessThan(2_000);
    expect(table.isFresh).toBe(false);
    expect(askNow(table, "a.example")).toBe("127.0.0.1:1");
    expect(askNow(table, "b.example")).toBe("127.0.0.1:2");
    expect(askNow(table, "bad.example")).toBe("bad");
    expect(askNow(table, "nobody.test")).toBe("unknown");

    await routes.server.restart();
    await until(() => table.isFresh);
    expect(await ask(table, "nobody.test")).toBe("none");
    await routes.operatorReady();
    await routes.operator.set("route:a.example", "3");
    await until(async () => (await ask(table, "a.example")) === "127.0.0.1:3");
  });

  test("waits a little for Redis when there is nothing to serve from", async () => {
    routes = await RoutesUnderTest.start(DURABLE);
    await routes.operator.set("route:a.example", "1");
    await routes.server.kill();
    const table = routes.table();
    const starting = table.start();
    await until(() => routes.told.includes("lost"));
    await routes.server.restart();
    await starting;
    expect(table.isFresh).toBe(true);
    expect(await ask(table, "a.example")).toBe("127.0.0.1:1");
  });

  test("gives up waiting after three seconds", async () => {
    routes = await RoutesUnderTest.start();
    await routes.server.kill();
    const start = performance.now();
    const table = await routes.started();
    const waitedMs = performance.now() - start;
    expect(waitedMs).toBeGreaterThan(2_900);
    expect(waitedMs).toBeLessThan(6_000);
    expect(askNow(table, "a.example")).toBe("unknown");
    expect(routes.told).toEqual(["lost"]);
  });

  test("with a spoilt snapshot says so, and replaces it by what Redis says", async () => {
    routes = await RoutesUnderTest.start();
    await writeFile(join(routes.stateDir, "routes.json"), '{"format":"gatehouse-ro');
    await routes.operator.set("route:a.example", "1");
    const table = await routes.started();
    expect(routes.told).toEqual([
      expect.stringMatching(/^problem: .*routes\.json is ignored: it is not JSON/),
    ]);
    expect(await ask(table, "a.example")).toBe("127.0.0.1:1");
    await snapshotHolds('"a.example":"1"');
  });
});

test("the snapshot follows changes of routes that nobody asks for", async () => {
  routes = await RoutesUnderTest.start();
  await routes.operator.set("route:a.example", "1");
  await routes.started();
  await snapshotHolds('"a.example":"1"');
  await routes.operator.set("route:a.example", "2");
  await routes.operator.set("route:new.example", "3");
  await snapshotHolds('"a.example":"2"');
  await snapshotHolds('"new.example":"3"');
  await routes.operator.del("route:a.example");
  const path = join(routes.stateDir, "routes.json");
  await until(async () => !(await readFile(path, "utf8")).includes("a.example"));
});
