import { once } from "node:events";
import type { IncomingHttpHeaders } from "node:http2";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { until } from "@gatehouse/testbed/until";
import { AttackBed } from "./support/attack-bed.ts";
import { ask, HOSTNAME, statusOf, untilClosed } from "./support/front-bed.ts";

/** The deadline of ten seconds, and room for a machine that is busy. */
const TEST_MS = 25_000;
const PATHS = ["/token", "/register", "/revoke"];

let bed: AttackBed;
beforeAll(async () => {
  bed = await AttackBed.open();
});
afterAll(() => bed.close());

test(
  "bodies of the authorization server that never end are answered 408 and given up, though they go on to trickle",
  async () => {
    const closed = PATHS.map(async (path) => {
      const socket = await bed.front.connect({ ALPNProtocols: ["http/1.1"] });
      socket.write(`POST ${path} HTTP/1.1\r\nHost: ${HOSTNAME}\r\nContent-Length: 1000\r\n\r\nx`);
      const trickle = setInterval(() => socket.write("x"), 1000);
      const answer = String(await untilClosed(socket));
      clearInterval(trickle);
      return statusOf(answer);
    });
    const session = await bed.front.http2();
    const reset = PATHS.map(async (path) => {
      const stream = session.request({ ":method": "POST", ":authority": HOSTNAME, ":path": path });
      stream.on("error", () => undefined).write("x");
      const [answer] = (await once(stream, "response")) as [IncomingHttpHeaders];
      stream.resume();
      await once(stream, "close");
      return answer[":status"];
    });
    expect(await Promise.all(closed)).toEqual([408, 408, 408]);
    expect(await Promise.all(reset)).toEqual([408, 408, 408]);
    // Of the session only these streams are over.
    expect((await ask(session, { ":path": "/jwks" })).status).toBe(200);
    session.destroy();
    const refused = await until(() => {
      const found = bed.front.records.filter(({ reason }) => reason === "body_stalled");
      return found.length === 2 * PATHS.length ? found : undefined;
    });
    for (const record of refused)
      expect(record).toMatchObject({ event: "request_ended", status: 408, ended_by: "gateway" });
  },
  TEST_MS,
);
