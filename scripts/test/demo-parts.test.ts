import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { claimStateDir, runningDemo } from "../demo/demo-pid.ts";
import { FreePorts } from "../demo/free-port.ts";
import { readOptions, UsageError } from "../demo/options.ts";
import { watchPings } from "../demo/ping-watch.ts";
import { keepSecretKey } from "../demo/secret-key.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "gatehouse-demo-parts-"));
});
afterAll(async () => {
  await rm(directory, { recursive: true });
});

test("a taken port is skipped, and one that was given out before", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const ports = new FreePorts();
  const found = await Promise.all([1, 2, 3].map(() => ports.find(["127.0.0.1"], port)));
  expect(Math.min(...found)).toBeGreaterThan(port);
  expect(new Set(found).size).toBe(3);
  server.close();
});

test("what finds its port taken after all is started on the next one, and any other failure is final", async () => {
  const tried: number[] = [];
  const ports = new FreePorts();
  const start = async (port: number): Promise<number> => {
    tried.push(port);
    if (tried.length < 3) throw new Error("the log says EADDRINUSE");
    return port;
  };
  const port = await ports.startOn(["127.0.0.1"], 20_000, start);
  expect([tried.length, new Set(tried).size, tried.at(-1)]).toEqual([3, 3, port]);
  const broken = ports.startOn(["127.0.0.1"], 20_000, () => Promise.reject(new Error("no certificate")));
  await expect(broken).rejects.toThrow("no certificate");
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
  const ping = watch.next(10_000);
  expect(await response.text()).toBe(chunks.join(""));
  expect(await ping).toBe("ping - 2026-11-23 08:00:00.000000+00:00");
  await expect(watch.next(10)).rejects.toThrow("no ping within"); // that one is over
  await expect(watchPings().next(10)).rejects.toThrow("no ping within");
});

test("options: what cannot be meant is refused", () => {
  expect(() => readOptions(["--once", "--detach"], {})).toThrow(UsageError);
  expect(() => readOptions([], { GATEHOUSE_DEMO_UPSTREAM: "127.0.0.1:3000" })).toThrow("http://host:port");
  expect(() => readOptions([], { GATEHOUSE_DEMO_PING_SECONDS: "never" })).toThrow("0.05 to 3600");
  expect(readOptions(["--state-dir", "/a/b"], {})).toMatchObject({
    mode: "stay",
    stateDir: "/a/b",
    pingSeconds: 15,
    githubApp: undefined,
  });
});

test("options: an app at GitHub is taken whole or not at all", () => {
  const app = { GITHUB_CLIENT_ID: "Iv1.own", GITHUB_CLIENT_SECRET_FILE: "/a/secret" };
  expect(readOptions([], { ...app, GITHUB_URL: "", PATH: "/bin" }).githubApp).toEqual(app);
  expect(readOptions([], { GITHUB_CLIENT_ID: "", GITHUB_CLIENT_SECRET: "x" }).githubApp).toBeUndefined();
  expect(() => readOptions([], { GITHUB_CLIENT_ID: "Iv1.own" })).toThrow(UsageError);
});

test("the secret key of a state directory is made once, for its owner's eyes", async () => {
  const path = join(directory, "secret-key");
  await keepSecretKey(path);
  const first = await readFile(path, "utf8");
  await keepSecretKey(path);
  expect(await readFile(path, "utf8")).toBe(first);
  expect(first).toMatch(/^[\w-]{43}\n$/);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});
