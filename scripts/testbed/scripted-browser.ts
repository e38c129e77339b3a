/** What the browser asked for and was answered. */
export interface Visit {
  readonly method: "GET" | "POST";
  readonly url: URL;
  readonly status: number;
  /** Where it was sent on to. */
  readonly location: URL | undefined;
}

/** A page the browser stopped at; status 0 and empty for a place that it does not go to. */
export interface Page {
  readonly url: URL;
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

interface Form {
  readonly action: string;
  readonly fields: Readonly<Record<string, string>>;
}

interface Cookie {
  readonly name: string;
  readonly value: string;
  readonly path: string;
}

/** What fetches: the global `fetch`, or one that knows hosts which are in no DNS. */
type Fetch = (url: string, init: RequestInit) => Promise<Response>;

const MAX_HOPS = 20;

/**
 * A browser without a screen: keeps cookies by host and path, follows redirects, sends forms as they stand on the page. It goes to
 * loopback addresses and `*.localhost` only; a redirect to anywhere else is where it stops.
 */
export class ScriptedBrowser {
  readonly #fetch: Fetch;
  readonly #watch: (visit: Visit) => void;
  readonly #cookies = new Map<string, Cookie[]>();

  /** @param watch called with every answer, redirects included */
  constructor(fetch: Fetch, watch: (visit: Visit) => void = () => undefined) {
    this.#fetch = fetch;
    this.#watch = watch;
  }

  async open(url: string | URL): Promise<Page> {
    return await this.#go(new URL(url));
  }

  /** Submits the first form of a page that has these fields, with these values. @throws when there is none */
  async submit(page: Page, having: Readonly<Record<string, string>> = {}): Promise<Page> {
    const form = readForms(page.text).find(({ fields }) =>
      Object.entries(having).every(([name, value]) => fields[name] === value),
    );
    if (form !== undefined)
      return await this.#go(new URL(form.action, page.url), new URLSearchParams(form.fields));
    const wanted = JSON.stringify(having);
    throw new Error(`no form with ${wanted} on ${page.url.href} (status ${page.status}): ${page.text}`);
  }

  async #go(start: URL, form?: URLSearchParams): Promise<Page> {
    let url = start;
    let body = form;
    for (let hop = 0; hop < MAX_HOPS; hop++) {
      if (!isLoopback(url)) return { url, status: 0, headers: new Headers(), text: "" };
      const { status, headers, text } = await this.#request(url, body);
      const location = headers.get("location");
      const next = location === null || status < 300 || status > 399 ? undefined : new URL(location, url);
      this.#watch({ method: body === undefined ? "GET" : "POST", url, status, location: next });
      if (next === undefined) return { url, status, headers, text };
      url = next;
      body = undefined;
    }
    throw new Error(`redirected for ever, at last to ${url.origin}${url.pathname}`);
  }

  async #request(
    url: URL,
    form: URLSearchParams | undefined,
  ): Promise<{ status: number; headers: Headers; text: string }> {
    const headers: Record<string, string> = {};
    const cookie = this.#cookieHeader(url);
    if (cookie !== "") headers["cookie"] = cookie;
    const init: RequestInit = { headers, redirect: "manual" };
    if (form !== undefined) {
      Object.assign(headers, {
        origin: url.origin,
        "content-type": "application/x-www-form-urlencoded",
      });
      Object.assign(init, { method: "POST", body: form.toString() });
    }
    const response = await this.#fetch(url.href, init);
    for (const line of response.headers.getSetCookie()) this.#keep(url, line);
    return { status: response.status, headers: response.headers, text: await response.text() };
  }

  /** Cookies know hosts and paths and no ports (RFC 6265 section 5.4). */
  #cookieHeader({ hostname, pathname }: URL): string {
    const isFor = (path: string): boolean =>
      pathname === path || pathname.startsWith(path.endsWith("/") ? path : `${path}/`);
    return (this.#cookies.get(hostname) ?? [])
      .filter(({ path }) => isFor(path))
      .map(({ name, value }) => `${name}=${value}`)
      .join("; ");
  }

  #keep({ hostname }: URL, line: string): void {
    const cookie = readCookie(line);
    const others = (this.#cookies.get(hostname) ?? []).filter(
      ({ name, path }) => name !== cookie.name || path !== cookie.path,
    );
    const isGone = /; *(?:max-age=0|expires=Thu, 01 Jan 1970)/i.test(line);
    this.#cookies.set(hostname, isGone ? others : [...others, cookie]);
  }
}

/** @throws when the cookie is one that browsers do not keep */
function readCookie(line: string): Cookie {
  const [, name = "", value = ""] = /^([^=;]*)=([^;]*)/.exec(line) ?? [];
  const [, path = "/"] = /; *path=([^;]*)/i.exec(line) ?? [];
  // RFC 6265bis section 4.1.3.2.
  const isHostWide = path === "/" && /; *secure *(?:;|$)/i.test(line) && !/; *domain=/i.test(line);
  if (name.startsWith("__Host-") && !isHostWide) throw new Error(`a browser refuses the cookie ${name}`);
  return { name, value, path };
}

function isLoopback({ hostname }: URL): boolean {
  return /^(?:127(?:\.\d+){3}|\[::1\]|(?:.+\.)?localhost)$/.test(hostname);
}

function readForms(html: string): Form[] {
  return [...html.matchAll(/<form([^>]*)>(.*?)<\/form>/gs)].map(([, attributes = "", content = ""]) => ({
    action: attribute(attributes, "action"),
    fields: Object.fromEntries(
      [...content.matchAll(/<input([^>]*)>/g)].map(([, input = ""]) => [
        attribute(input, "name"),
        attribute(input, "value"),
      ]),
    ),
  }));
}

function attribute(element: string, name: string): string {
  const [, value = ""] = new RegExp(`\\b${name}="([^"]*)"`).exec(element) ?? [];
  return value
    .replaceAll(/&#(\d+);/g, (_, code: string) => String.fromCharCode(Number(code)))
    .replaceAll("&quot;", '"')
    .replaceAll("&amp;", "&");
}
