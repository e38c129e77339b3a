import type { TLSSocket } from "node:tls";
import { afterEach, expect, jest, test } from "@jest/globals";
import { parseHostname } from "@gatehouse/shared/hostname";
import type { LogRecord } from "@gatehouse/shared/log-record";
import { AccessRecord } from "../src/access-log.ts";

afterEach(() => {
  jest.restoreAllMocks();
});

function record(): { access: AccessRecord; records: LogRecord[] } {
  const records: LogRecord[] = [];
  const hostname = parseHostname("app.example");
  if (!hostname.ok) throw new Error(hostname.problem);
  const access = new AccessRecord(
    { write: (one) => records.push(one), isEnabled: (level) => level !== "debug" },
    {
      hostname: hostname.hostname,
      method: "GET",
      target: "/sse",
      context: {
        id: "req-1",
        startedAt: performance.now(),
        connection: {
          id: "c-1",
          addresses: {
            source: { ip: "2001:db8::7", port: 1 },
            destination: { ip: "2001:db8::1", port: 443 },
          },
          socket: {} as TLSSocket,
        },
      },
    },
  );
  return { access, records };
}

test("a stream's progress: chunks 1 and 2, then at most one a minute (contract section 6)", () => {
  const { access, records } = record();
  const clock = jest.spyOn(performance, "now");
  for (let second = 0; second < 200; second++) {
    clock.mockReturnValue(1_000_000 + second * 1000);
    access.streamChunk(45);
  }
  expect(records.map(({ message }) => message)).toEqual([
    "SSE chunk 1: 45 bytes",
    "SSE chunk 2: 45 bytes",
    "SSE chunk 62: 45 bytes",
    "SSE chunk 122: 45 bytes",
    "SSE chunk 182: 45 bytes",
  ]);
});

test("a request has one record, whatever calls for it", () => {
  const { access, records } = record();
  access.status = 404;
  access.ended();
  access.ended();
  expect(records).toHaveLength(1);
  expect(records[0]).toMatchObject({
    level: "warn",
    component: "proxy_handler",
    event: "request_ended",
    ip: "2001:db8::7",
    conn: "c-1",
    req: "req-1",
    status: 404,
  });
});
