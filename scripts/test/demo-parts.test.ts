import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { claimStateDir, runningDemo } from "../demo/demo-pid.ts";
import { freePort } from "../demo/free-port.ts";
import { readOptions, UsageError } from "../demo/options.ts";
import { watchPings } from "../demo/ping-watch.ts";
import { recordsAbout } from "../demo/records.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "gatehouse-demo-parts-"));
});
afterAll(async () => {
  await rm(directory, { recursive: true });
});

test("a taken port is skipped", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  expect(await freePort(["127.0.0.1"], port)).toBeGreaterThan(port);
  server.close();
});

test("a pid file left by a demo that was killed does not count, nor one whose number another program has", async () => {
  await writeFile(join(directory, "demo.pid"), String(process.pid)); // alive, but no demo
  expect(runningDemo(directory)).toBeUndefined();
  expect(claimStateDir(directory)).toBeUndefined();
});

test("pings are seen however the stream is cut, and the client still gets every octet", async () => {
  const watch = watchPings();
  const chunks = ["data: x\r\n\r\n: pi", "ng - 2026-11-23 08:00:00", ".000000+00:00\r\n\r\n"];
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      for (const chunk of chunks) controller.enqueue(Buffer.from(chunk));
      controller.close();
    },
  });
  const response = watch.observe(new Response(body, { headers: { "content-type": "text/event-stream" } }));
  expect(await response.text()).toBe(chunks.join(""));
  expect(await watch.next(1000)).toBe("ping - 2026-11-23 08:00:00.000000+00:00");
  await expect(watchPings().next(10)).rejects.toThrow("no ping within");
});

test("records are found by their address, whole, in the order of their time", async () => {
  const log = join(directory, "one.log");
  const record = (time: string, ip: string): string =>
    `[2026-11-23 08:00:${time}Z] [proxy_handler] ✓ 200 GET /\n  Client: ${ip} → Proxy: a.example\n  Auth: (empty)\n`;
  const lines = [
    record("03.000", "127.0.0.42"),
    record("02.000", "127.0.0.4"),
    record("01.000", "127.0.0.42"),
  ];
  await writeFile(log, lines.join(""));
  expect(await recordsAbout("127.0.0.42", [log])).toEqual([lines[2]!.trimEnd(), lines[0]!.trimEnd()]);
});

test("options: what cannot be meant is refused", () => {
  expect(() => readOptions(["--once", "--detach"], {})).toThrow(UsageError);
  expect(() => readOptions([], { GATEHOUSE_DEMO_UPSTREAM: "127.0.0.1:3000" })).toThrow("http://host:port");
  expect(() => readOptions([], { GATEHOUSE_DEMO_PING_SECONDS: "never" })).toThrow("0.05 to 3600");
  expect(readOptions(["--state-dir", "/a/b"], {})).toMatchObject({
    mode: "stay",
    stateDir: "/a/b",
    pingSeconds: 15,
  });
});
