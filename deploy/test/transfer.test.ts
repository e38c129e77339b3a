/** Bulk through both tiers: what arrives is what was sent, bit for bit, in both directions. */
import { createHash, randomFillSync } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { startGatehouse, type Gatehouse } from "./support/gatehouse.ts";
import { startRequest } from "./support/https-peer.ts";
import { processSize } from "./support/process-size.ts";
import { UpstreamProcess } from "./support/upstream-process.ts";

const GIBIBYTE = 1024 ** 3;
const TIMEOUT_MS = 180_000;
/** Far below what was transferred, far above what a busy V8 heap needs: a tier that buffers bodies fails. */
const MEMORY_BOUND = 400 * 1024 ** 2;

let upstream: UpstreamProcess;
let gatehouse: Gatehouse;

beforeAll(async () => {
  upstream = await UpstreamProcess.start();
  gatehouse = await startGatehouse({
    hosts: [{ hostname: "bulk.localhost", upstreamUrl: upstream.url }],
  });
}, TIMEOUT_MS);

afterAll(async () => {
  await gatehouse?.stop();
  await upstream?.kill();
});

function expectBoundedMemory(): void {
  const pids = [gatehouse.dispatcher.pid, gatehouse.instance("bulk.localhost").pid];
  for (const pid of pids) expect(processSize(pid).residentBytes).toBeLessThan(MEMORY_BOUND);
}

test(
  "1 GiB down arrives bit for bit, in bounded memory",
  async () => {
    const started = startRequest(gatehouse, {
      hostname: "bulk.localhost",
      path: `/download?bytes=${GIBIBYTE}`,
    });
    started.end();
    const [response] = (await once(started, "response")) as [IncomingMessage];
    const hash = createHash("sha256");
    let bytes = 0;
    for await (const part of response as AsyncIterable<Buffer>) {
      hash.update(part);
      bytes += part.length;
    }
    expect(bytes).toBe(GIBIBYTE);
    expect(hash.digest("hex")).toBe(await upstream.lastDownload());
    expectBoundedMemory();
  },
  TIMEOUT_MS,
);

test(
  "1 GiB up arrives bit for bit, in bounded memory",
  async () => {
    const chunk = randomFillSync(Buffer.alloc(64 * 1024));
    const hash = createHash("sha256");
    const started = startRequest(gatehouse, {
      hostname: "bulk.localhost",
      path: "/upload",
      method: "POST",
      headers: { "content-length": String(GIBIBYTE) },
    });
    const answered = once(started, "response") as Promise<[IncomingMessage]>;
    for (let sent = 0; sent < GIBIBYTE; sent += chunk.length) {
      const part = Buffer.from(chunk);
      part.writeDoubleBE(sent, 0);
      hash.update(part);
      if (started.write(part)) continue;
      const early = await Promise.race([once(started, "drain").then(() => undefined), answered]);
      // An answer before the end is a refusal, after which nothing may drain any more: it is what this test has to show then.
      if (early !== undefined) break;
    }
    started.end();
    const [response] = await answered;
    let body = "";
    for await (const part of response as AsyncIterable<Buffer>) body += part.toString();
    expect(JSON.parse(body)).toEqual({ bytes: GIBIBYTE, sha256: hash.digest("hex") });
    expectBoundedMemory();
  },
  TIMEOUT_MS,
);
