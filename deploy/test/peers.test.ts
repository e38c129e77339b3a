/** What people connect with, each over every protocol it speaks, from an IPv4 and an IPv6 address. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { startGatehouse, type Gatehouse } from "./support/gatehouse.ts";
import { findPeers } from "./support/peers.ts";

const HOSTNAME = "peers.localhost";
const TIMEOUT_MS = 120_000;

const peers = await findPeers();

let upstream: Server;
let gatehouse: Gatehouse;

beforeAll(async () => {
  upstream = createServer((request, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ path: request.url, forwardedFor: request.headers["x-forwarded-for"] }));
  });
  await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  const upstreamUrl = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
  gatehouse = await startGatehouse({
    addresses: ["127.0.0.1", "::1"],
    hosts: [{ hostname: HOSTNAME, upstreamUrl }],
  });
}, TIMEOUT_MS);

afterAll(async () => {
  await gatehouse?.stop();
  upstream?.closeAllConnections();
  upstream?.close();
});

describe("peers", () => {
  for (const peer of peers) {
    if ("missing" in peer) {
      // oxlint-disable-next-line jest/no-disabled-tests -- shown as skipped, with the reason, rather than not at all
      test.skip(`${peer.name}: ${peer.missing}`, () => undefined);
      continue;
    }
    for (const protocol of peer.protocols) {
      test.each(["127.0.0.1", "::1"] as const)(
        `${peer.name} gets its answer over ${protocol}, and the upstream sees its address %s`,
        async (address) => {
          const { port, caPath } = gatehouse;
          const path = `/hello?from=${encodeURIComponent(address)}`;
          const answer = await peer.fetch({ hostname: HOSTNAME, address, port, path, caPath }, protocol);
          expect({ ...answer, body: JSON.parse(answer.body) as unknown }).toEqual({
            protocol,
            status: 200,
            body: { path, forwardedFor: address },
          });
        },
        TIMEOUT_MS,
      );
    }
  }
});
