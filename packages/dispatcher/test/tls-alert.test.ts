import { describe, expect, test } from "@jest/globals";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import tls from "node:tls";
import { REFUSAL_REASONS, alert, alertFor, badRequest, type RefusalReason } from "../src/tls-alert.ts";

/** Contract section 3; `undefined`: the peer speaks no TLS. A reason added to the type fails to compile until it has a row. */
const EXPECTED: Readonly<Record<RefusalReason, number | undefined>> = {
  no_route: 112,
  no_sni: 112,
  bad_name: 50,
  malformed_hello: 50,
  hello_too_large: 50,
  hello_timeout: 50,
  target_down: 80,
  bad_route: 80,
  loop: 80,
  too_many_connections: 80,
  connection_rate: 80,
  store_unavailable: 80,
  not_tls: undefined,
};

test("the list of reasons is complete", () => {
  expect([...REFUSAL_REASONS].sort()).toEqual(Object.keys(EXPECTED).sort());
});

test.each(Object.entries(EXPECTED))("%s is told by alert %s", (reason, description) => {
  const answer = alertFor(reason as RefusalReason);
  expect(answer?.description).toBe(description);
  // RFC 8446 sections 5.1 and 6: alert (21), version 0x0303, two octets: fatal (2), description.
  const record = description === undefined ? undefined : [21, 3, 3, 0, 2, 2, description];
  expect(answer && [...answer.bytes]).toEqual(record);
});

/** Runs `peer` against a loopback listener that answers its first octets with `answer` and closes. */
async function answeredWith<T>(answer: Buffer, peer: (port: number) => Promise<T>): Promise<T> {
  const server = net.createServer((socket) => {
    socket.on("error", () => {}); // the peer may hang up first
    socket.once("data", () => socket.end(answer));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    return await peer((server.address() as net.AddressInfo).port);
  } finally {
    server.close();
  }
}

describe("a real TLS peer reads each alert", () => {
  const wording = {
    decodeError: "TLSV1_ALERT_DECODE_ERROR",
    internalError: "TLSV1_ALERT_INTERNAL_ERROR",
    unrecognizedName: "TLSV1_UNRECOGNIZED_NAME",
  } as const;
  const cases = Object.entries(wording).flatMap(([name, code]) =>
    (["TLSv1", "TLSv1.2", "TLSv1.3"] as const).map(
      (version) => [name as keyof typeof wording, version, code] as const,
    ),
  );

  test.each(cases)("%s by a peer of %s", async (name, version, code) => {
    const error = await answeredWith(alert[name], async (port) => {
      const socket = tls.connect({
        host: "127.0.0.1",
        port,
        servername: "a.example",
        minVersion: version,
        maxVersion: version,
        ciphers: "ALL:@SECLEVEL=0", // or TLS 1.0 sends no hello at all
      });
      const [failure] = (await once(socket, "error").catch((thrown: unknown) => [thrown])) as [
        NodeJS.ErrnoException,
      ];
      return failure;
    });
    expect(error.code).toBe(`ERR_SSL_${code}`);
  });
});

test("a plain HTTP peer reads a complete 400 that says what to do", async () => {
  const answer = await answeredWith(badRequest, async (port) => {
    const request = http.get({ host: "127.0.0.1", port, path: "/mcp" });
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    let body = "";
    for await (const chunk of response) body += String(chunk);
    return { status: response.statusCode, headers: response.headers, complete: response.complete, body };
  });
  expect(answer).toMatchObject({
    status: 400,
    complete: true,
    headers: { connection: "close", "content-type": "text/plain; charset=utf-8" },
    body: expect.stringContaining("https://"),
  });
  expect(answer.headers["content-length"]).toBe(String(Buffer.byteLength(answer.body)));
});
