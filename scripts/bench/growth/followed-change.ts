import { request } from "node:https";
import { setTimeout as delay } from "node:timers/promises";
import { median } from "../median.ts";

const TIMES = 5;
const TIMEOUT_MS = 5_000;

/** Makes a change, then asks until it shows; returns the median of several in milliseconds. @throws when it never shows */
export async function untilSeen(
  change: (number: number) => Promise<unknown>,
  isSeen: (number: number) => Promise<boolean>,
): Promise<number> {
  const times: number[] = [];
  for (let number = 0; number < TIMES; number++) {
    const started = performance.now();
    await change(number);
    while (!(await isSeen(number))) {
      if (performance.now() > started + TIMEOUT_MS) throw new Error("the change was never seen");
    }
    times.push(performance.now() - started);
    await delay(20);
  }
  return median(times);
}

/** Status of a request to a name behind a port of loopback; undefined when there was none. */
export async function statusOf(port: number, hostname: string): Promise<number | undefined> {
  return await new Promise((resolve) => {
    const options = {
      host: "127.0.0.1",
      port,
      servername: hostname,
      rejectUnauthorized: false,
      agent: false,
    };
    const asked = request(
      { ...options, path: "/hello", headers: { host: `${hostname}:${port}` } },
      (response) => {
        response.resume().once("close", () => resolve(response.statusCode));
      },
    );
    asked.once("error", () => resolve(undefined));
    asked.end();
  });
}
