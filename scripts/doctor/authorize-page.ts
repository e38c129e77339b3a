import type { Chart } from "./chart.ts";

/** An authorization goes through one page of the engine. */
const MAX_HOPS = 5;

/** Where a browser without a past ends when it is sent there. */
export interface PageSeen {
  readonly status: number;
  readonly text: string;
  /** Where it is sent next, which is off this host. */
  readonly location: URL | undefined;
}

/** Opens a page of this host as a browser would: keeps cookies, follows redirects, and stops before it would leave. */
export async function openPage(chart: Chart, start: URL): Promise<PageSeen> {
  const cookies = new Map<string, string>();
  let url = start;
  for (let hop = 0; hop < MAX_HOPS; hop++) {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const { status, headers, text } = await chart.wire.call(
      url,
      cookie === "" ? {} : { headers: { cookie } },
    );
    keep(cookies, headers["set-cookie"] ?? []);
    const next = headers.location === undefined ? undefined : new URL(headers.location, url);
    if (status < 300 || status > 399 || next?.origin !== chart.origin)
      return { status, text, location: next };
    url = next;
  }
  throw new Error("the authorization page redirects for ever");
}

function keep(cookies: Map<string, string>, lines: readonly string[]): void {
  for (const line of lines) {
    const [, name = "", value = ""] = /^([^=;]*)=([^;]*)/.exec(line) ?? [];
    cookies.set(name, value);
  }
}
