/** Faults across process boundaries, ten times each: what must go on goes on, what must end ends, and nothing is left behind. */
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { Agent } from "node:https";
import { connect, type TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";
import { startGatehouse, type Gatehouse } from "../support/gatehouse.ts";
import { exchange, openStream, openStreamingPeer, startRequest } from "../support/https-peer.ts";
import { MEASURABLE } from "../support/held-size.ts";
import { tenCycles } from "../support/ten-cycles.ts";
import { until } from "@gatehouse/testbed/until";
import { UpstreamProcess } from "../support/upstream-process.ts";

const TIMEOUT_MS = 180_000;
const [ONE, TWO] = ["one.localhost", "two.localhost"] as const;

let upstream: UpstreamProcess;
let gatehouse: Gatehouse;

beforeAll(async () => {
  upstream = await UpstreamProcess.start();
  gatehouse = await startGatehouse({
    dispatcherEnv: MEASURABLE,
    instanceEnv: MEASURABLE,
    hosts: [ONE, TWO].map((hostname) => ({ hostname, upstreamUrl: upstream.url })),
    // What operators are told to run: a restart keeps what was acknowledged.
    redisArgs: ["--appendonly", "yes", "--appendfsync", "always"],
  });
}, TIMEOUT_MS);

afterAll(async () => {
  await gatehouse?.stop();
  await upstream?.kill();
});

const hello = (hostname: string) => exchange(gatehouse, { hostname, path: "/hello" });

const allPids = () => ({
  dispatcher: gatehouse.dispatcher.pid,
  one: gatehouse.instance(ONE).pid,
  two: gatehouse.instance(TWO).pid,
});

/** A failed test leaves its load behind; it must not run on into the next one. */
const loads = new Set<AbortController>();
afterEach(async () => {
  for (const load of loads) load.abort();
  loads.clear();
  await gatehouse.configure(ONE, { target_url: upstream.url, certificate: "file" });
  await until(
    () => hello(ONE),
    (response) => response.status === 200,
  );
});

/** Requests without pause until it is stopped; returns how many ended well and how many did not. */
function load(hostname: string, width: number): { stop(): Promise<{ good: number; bad: number }> } {
  const agent = new Agent({ keepAlive: true, maxSockets: width });
  const counts = { good: 0, bad: 0 };
  const stopping = new AbortController();
  loads.add(stopping);
  const worker = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const status = await exchange(gatehouse, { hostname, path: "/hello", agent }).then(
        (response) => response.status,
        () => 0,
      );
      counts[status === 200 ? "good" : "bad"] += 1;
    }
  };
  const workers = Array.from({ length: width }, worker);
  return {
    stop: async () => {
      stopping.abort();
      await Promise.all(workers);
      agent.destroy();
      return counts;
    },
  };
}

test(
  "Redis killed and restarted: known names never notice, new ones work again by themselves",
  async () => {
    await tenCycles(allPids, async (index) => {
      const stream = await openStream(gatehouse, { hostname: ONE, path: "/stream?name=redis" });
      const traffic = load(ONE, 2);
      await gatehouse.redis.kill("SIGKILL");
      expect((await hello(TWO)).status).toBe(200);
      await gatehouse.redis.restart();
      // A new name proves that Redis is followed again.
      await until(
        () => copyRoute(ONE, `new-${index}.localhost`),
        () => true,
      );
      await until(
        () => dialName(`new-${index}.localhost`),
        (outcome) => outcome === "reached",
      );
      const { good, bad } = await traffic.stop();
      expect({ enough: good > 5, bad }).toEqual({ enough: true, bad: 0 });
      const events = once(stream, "data");
      await events;
      stream.destroy();
    });
  },
  TIMEOUT_MS,
);

async function copyRoute(from: string, to: string): Promise<void> {
  const route = await gatehouse.store.get(`route:${from}`);
  await gatehouse.store.set(`route:${to}`, String(route));
}

/** Whether the name leads to an instance at all: its certificate is another's, which a failed verification shows. */
async function dialName(servername: string): Promise<string> {
  const socket: TLSSocket = connect({
    host: "127.0.0.1",
    port: gatehouse.port,
    servername,
    rejectUnauthorized: false,
  });
  try {
    await once(socket, "secureConnect");
    return "reached";
  } finally {
    socket.destroy();
  }
}

test(
  "an instance killed under load: its peers see it, the other host does not, and it serves again when it is back",
  async () => {
    await tenCycles(
      () => ({ dispatcher: gatehouse.dispatcher.pid, two: gatehouse.instance(TWO).pid }),
      async () => {
        const hit = load(ONE, 4);
        const spared = load(TWO, 2);
        const stream = await openStream(gatehouse, { hostname: ONE, path: "/stream?name=killed" });
        const ended = new Promise((resolve) => stream.once("close", resolve));
        await gatehouse.instance(ONE).kill();
        await ended;
        await gatehouse.instance(ONE).start();
        await until(
          () => hello(ONE),
          (response) => response.status === 200,
        );
        await hit.stop();
        expect(await spared.stop()).toMatchObject({ bad: 0 });
      },
    );
  },
  TIMEOUT_MS,
);

test(
  "an upstream killed in mid-body: no peer takes the part for the whole",
  async () => {
    await tenCycles(allPids, async () => {
      const mortal = await UpstreamProcess.start();
      await gatehouse.configure(ONE, { target_url: mortal.url, certificate: "file" });
      await until(
        () => hello(ONE),
        (response) => response.body.includes(new URL(mortal.url).host),
      );
      const bodies = ["/download?bytes=500000000", "/stream?name=cut"].map(async (path) => {
        const started = startRequest(gatehouse, { hostname: ONE, path });
        started.end();
        const [response] = (await once(started, "response")) as [IncomingMessage];
        await once(response, "data");
        return response;
      });
      const responses = await Promise.all(bodies);
      const outcomes = responses.map((response) =>
        response
          .resume()
          .toArray()
          .then(
            () => "complete",
            () => "cut",
          ),
      );
      await mortal.kill();
      expect(await Promise.all(outcomes)).toEqual(["cut", "cut"]);
      expect((await hello(ONE)).status).toBe(502);
    });
  },
  TIMEOUT_MS,
);

test(
  "peers that vanish: their upstream requests end within a second",
  async () => {
    await tenCycles(allPids, async () => {
      const peers = await Promise.all(
        Array.from({ length: 20 }, () =>
          openStreamingPeer(gatehouse, { hostname: ONE, path: "/stream?name=gone" }),
        ),
      );
      expect(await upstream.openStreams("gone")).toBe(20);
      const left = performance.now();
      for (const [i, peer] of peers.entries()) {
        if (i % 2 === 0) peer.close();
        else peer.reset();
      }
      await until(
        () => upstream.openStreams("gone"),
        (open) => open === 0,
      );
      expect(performance.now() - left).toBeLessThan(1000);
    });
  },
  TIMEOUT_MS,
);

test(
  "slow readers: each holds a bounded part of what it asked for, and others are served",
  async () => {
    await tenCycles(allPids, async () => {
      const slow = await Promise.all(
        Array.from({ length: 8 }, async () => {
          const started = startRequest(gatehouse, { hostname: ONE, path: "/download?bytes=200000000" });
          started.end();
          const [response] = (await once(started, "response")) as [IncomingMessage];
          return response.pause();
        }),
      );
      for (let i = 0; i < 20; i++) expect((await hello(ONE)).status).toBe(200);
      for (const response of slow) response.destroy();
    });
  },
  TIMEOUT_MS,
);
