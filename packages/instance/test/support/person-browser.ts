import type { Answer, Harness } from "./authorization-server-harness.ts";

/** A page a browser stopped at, or the place outside of host and provider that it was sent to. */
export interface Stop {
  readonly status: number;
  readonly url: URL;
  readonly text: string;
  readonly headers: Answer["headers"] | Record<string, string>;
  readonly forms: readonly Form[];
}

interface Form {
  readonly method: string;
  readonly action: string;
  readonly fields: Record<string, string>;
}

interface Cookie {
  readonly name: string;
  readonly value: string;
  readonly path: string;
}

/**
 * A browser without a screen: keeps cookies by origin and path, follows redirects as a GET, sends `Origin` with forms. The host under
 * test is reached through its harness, everything else on loopback for real; the rest of the world is where it stops.
 */
export class PersonBrowser {
  readonly #harness: Harness;
  readonly #cookies = new Map<string, Cookie[]>();

  constructor(harness: Harness) {
    this.#harness = harness;
  }

  async open(url: string | URL): Promise<Stop> {
    return await this.#go(new URL(url, this.#harness.origin), undefined);
  }

  /** Submits the form of that number on the page, with fields replaced or, when undefined, left out. */
  async submit(page: Stop, index = 0, fields: Record<string, string | undefined> = {}): Promise<Stop> {
    const form = page.forms[index];
    if (form === undefined) throw new Error(`no form ${index} on ${page.url.href}: ${page.text}`);
    const body = new URLSearchParams();
    for (const [name, value] of Object.entries({ ...form.fields, ...fields })) {
      if (value !== undefined) body.set(name, value);
    }
    return await this.#go(new URL(form.action, page.url), body.toString());
  }

  cookies(origin: string): readonly Cookie[] {
    return this.#cookies.get(origin) ?? [];
  }

  /** What it would send to that address; empty for nothing. */
  cookieHeader({ origin, pathname }: URL): string {
    return this.cookies(origin)
      .filter(({ path }) => path === "/" || pathname === path || pathname.startsWith(`${path}/`))
      .map(({ name, value }) => `${name}=${value}`)
      .join("; ");
  }

  async #go(start: URL, form: string | undefined): Promise<Stop> {
    let [url, body] = [start, form];
    for (let hop = 0; hop < 20; hop += 1) {
      const answer = await this.#request(url, body);
      if (answer === undefined) return { status: 0, url, text: "", headers: {}, forms: [] };
      const { status, headers, text } = answer;
      const location = headers["location"];
      if (location === undefined) return { status, url, text, headers, forms: readForms(text) };
      url = new URL(location, url);
      body = undefined;
    }
    throw new Error("redirected for ever");
  }

  async #request(
    url: URL,
    body: string | undefined,
  ): Promise<
    { status: number; headers: Answer["headers"] | Record<string, string>; text: string } | undefined
  > {
    const cookie = this.cookieHeader(url);
    const headers: Record<string, string> = cookie === "" ? {} : { cookie };
    if (body !== undefined) {
      headers["content-type"] = "application/x-www-form-urlencoded";
      headers["origin"] = url.origin;
    }
    const init = {
      method: body === undefined ? "GET" : "POST",
      headers,
      ...(body === undefined ? {} : { body }),
    };
    if (url.origin === this.#harness.origin) {
      const answer = await this.#harness.request(url.pathname + url.search, init);
      this.#keep(url, answer.headers["set-cookie"] ?? []);
      return answer;
    }
    if (url.hostname !== "127.0.0.1") return undefined;
    const response = await fetch(url, { ...init, redirect: "manual" });
    this.#keep(url, response.headers.getSetCookie());
    return {
      status: response.status,
      headers: Object.fromEntries(response.headers),
      text: await response.text(),
    };
  }

  #keep(url: URL, lines: readonly string[]): void {
    for (const line of lines) {
      const [pair = "", ...attributes] = line.split("; ");
      const [name = "", value = ""] = pair.split("=");
      const path = attributes.find((one) => /^path=/i.test(one))?.slice(5) ?? "/";
      if (isForbidden(name, path, line)) throw new Error(`a browser refuses ${line}`);
      const others = this.cookies(url.origin).filter((one) => one.name !== name || one.path !== path);
      const isGone = value === "" || /max-age=0|expires=Thu, 01 Jan 1970/i.test(line);
      this.#cookies.set(url.origin, isGone ? others : [...others, { name, value, path }]);
    }
  }
}

/** Rules of the `__Host-` prefix (RFC 6265bis section 4.1.3.2). */
function isForbidden(name: string, path: string, line: string): boolean {
  return name.startsWith("__Host-") && (path !== "/" || !/; secure/i.test(line) || /; domain/i.test(line));
}

function readForms(html: string): Form[] {
  return [...html.matchAll(/<form([^>]*)>(.*?)<\/form>/gs)].map(([, attributes = "", content = ""]) => ({
    method: attribute(attributes, "method"),
    action: attribute(attributes, "action"),
    fields: Object.fromEntries(
      [...content.matchAll(/<input([^>]*)>/g)].map(([, input = ""]) => [
        attribute(input, "name"),
        attribute(input, "value"),
      ]),
    ),
  }));
}

function attribute(text: string, name: string): string {
  const [, value = ""] = new RegExp(`${name}="([^"]*)"`).exec(text) ?? [];
  return value
    .replace(/&#(\d+);/g, (_, code: string) => String.fromCharCode(Number(code)))
    .replaceAll("&amp;", "&");
}
