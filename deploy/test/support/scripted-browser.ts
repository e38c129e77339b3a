/** A page a browser stopped at. */
export interface Page {
  readonly url: URL;
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

interface Cookie {
  readonly name: string;
  readonly value: string;
  readonly path: string;
}

const MAX_HOPS = 20;

/**
 * A browser without a screen: keeps cookies by host and path, follows redirects, fills in forms. What is not on loopback it does not
 * visit: a redirect there is where it stops, with status 0.
 */
export class ScriptedBrowser {
  readonly #fetch: typeof globalThis.fetch;
  readonly #cookies = new Map<string, Cookie[]>();

  constructor(fetch: typeof globalThis.fetch) {
    this.#fetch = fetch;
  }

  async open(url: string | URL): Promise<Page> {
    return await this.#go(new URL(url), undefined);
  }

  /** Submits the first form of a page as it stands. */
  async submit(page: Page): Promise<Page> {
    const [, attributes = "", content = ""] = /<form([^>]*)>(.*?)<\/form>/s.exec(page.text) ?? [];
    if (content === "") throw new Error(`no form on ${page.url.href} (${page.status}): ${page.text}`);
    const form = new URLSearchParams();
    for (const [input] of content.matchAll(/<input[^>]*>/g))
      form.set(attribute(input, "name"), attribute(input, "value"));
    return await this.#go(new URL(attribute(attributes, "action"), page.url), form);
  }

  async #go(start: URL, body: URLSearchParams | undefined): Promise<Page> {
    let [url, form] = [start, body];
    for (let hop = 0; hop < MAX_HOPS; hop += 1) {
      if (!isLoopback(url)) return { url, status: 0, headers: new Headers(), text: "" };
      const response = await this.#request(url, form);
      const text = await response.text();
      const location = response.headers.get("location");
      if (location === null) return { url, status: response.status, headers: response.headers, text };
      url = new URL(location, url);
      form = undefined;
    }
    throw new Error(`redirected for ever, at last to ${url.href}`);
  }

  async #request(url: URL, form: URLSearchParams | undefined): Promise<Response> {
    const cookies = this.#cookies.get(url.host) ?? [];
    const cookie = cookies
      .filter(({ path }) => path === "/" || url.pathname === path || url.pathname.startsWith(`${path}/`))
      .map(({ name, value }) => `${name}=${value}`);
    const headers = new Headers(cookie.length === 0 ? {} : { cookie: cookie.join("; ") });
    if (form !== undefined) headers.set("origin", url.origin);
    const method = form === undefined ? "GET" : "POST";
    const response = await this.#fetch(url, {
      method,
      headers,
      redirect: "manual",
      ...(form && { body: form }),
    });
    for (const line of response.headers.getSetCookie()) this.#keep(url, line);
    return response;
  }

  /** @throws when a cookie is one that browsers would not keep */
  #keep(url: URL, line: string): void {
    const [pair = "", ...attributes] = line.split(/; */);
    const [name = "", value = ""] = pair.split(/=(.*)/s);
    const path = attributes.find((one) => /^path=/i.test(one))?.slice(5) ?? "/";
    const isHostWide = path === "/" && attributes.some((one) => /^secure$/i.test(one));
    if (name.startsWith("__Host-") && !isHostWide) throw new Error(`a browser refuses ${line}`);
    const others = (this.#cookies.get(url.host) ?? []).filter(
      (one) => one.name !== name || one.path !== path,
    );
    const isGone = /; *(?:max-age=0|expires=Thu, 01 Jan 1970)/i.test(line);
    this.#cookies.set(url.host, isGone ? others : [...others, { name, value, path }]);
  }
}

function isLoopback({ hostname }: URL): boolean {
  return /^(?:127\.0\.0\.1|(?:.+\.)?localhost)$/.test(hostname);
}

function attribute(element: string, name: string): string {
  const [, value = ""] = new RegExp(`${name}="([^"]*)"`).exec(element) ?? [];
  return value
    .replaceAll(/&#(\d+);/g, (_, code: string) => String.fromCharCode(Number(code)))
    .replaceAll("&quot;", '"')
    .replaceAll("&amp;", "&");
}
