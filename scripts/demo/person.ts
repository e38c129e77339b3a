import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { ScriptedBrowser, type Visit } from "@gatehouse/testbed/scripted-browser";
import type { FetchLike } from "@modelcontextprotocol/client";

/** Is told what a person sees and does. */
type Tell = (text: string) => void;

/** Somebody with a browser, who agrees and signs in. */
export interface Person {
  /** How the narration calls them. */
  readonly name: string;
  /** Where their browser must be sent at the end, so that the demo gets to see it. */
  readonly redirectUri: string;
  /** Goes to an authorization address; returns the address that the browser ended at. */
  authorize(this: void, url: URL): Promise<URL>;
  close(this: void): Promise<void>;
}

/** Claude's own address: nobody goes there, so that a browser on loopback only stops in front of it. */
const CLAUDE_CALLBACK = "https://claude.ai/api/mcp/auth_callback";

/** Longer than an authorization can be under way. */
const OPERATOR_TIMEOUT_MS = 660_000;

/** Returns a person without eyes: reads the forms of the pages and posts them, as `login` at the stand-in for GitHub. */
export function scriptedPerson(login: string, fetch: FetchLike, tell: Tell): Person {
  const browser = new ScriptedBrowser(fetch, (visit) => tell(describe(visit)));
  return {
    name: login,
    redirectUri: CLAUDE_CALLBACK,
    authorize: async (url) => {
      const consent = await browser.open(url);
      tell(`the page says "${titleOf(consent.text)}"; ${login} agrees`);
      const signIn = await browser.submit(consent, { choice: "approve" });
      tell(`the page says "${titleOf(signIn.text)}"; ${login} signs in`);
      return (await browser.submit(signIn, { login })).url;
    },
    close: async () => undefined,
  };
}

/** Returns the person at the keyboard: prints where to go, and waits on loopback for their browser to come back. */
export async function operator(tell: Tell): Promise<Person> {
  const { promise, resolve } = Promise.withResolvers<URL>();
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", `http://127.0.0.1:${portOf(server)}`);
    if (url.pathname !== "/callback" || !url.searchParams.has("state")) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": "text/plain; charset=utf-8" });
    response.end("The demo goes on in its terminal. You may close this window.\n");
    resolve(url);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    name: "you",
    redirectUri: `http://127.0.0.1:${portOf(server)}/callback`,
    authorize: async (url) => {
      tell(`open this in your browser (which does not know the demo's authority yet):\n${url.href}`);
      return await inTime(promise);
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function inTime(browser: Promise<URL>): Promise<URL> {
  const late = Promise.withResolvers<never>();
  const error = new Error(`no browser came back within ${OPERATOR_TIMEOUT_MS / 60_000} minutes`);
  const timer = setTimeout(() => late.reject(error), OPERATOR_TIMEOUT_MS);
  return await Promise.race([browser, late.promise]).finally(() => clearTimeout(timer));
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the listener has no port");
  return address.port;
}

/** One line about an answer. Queries are left out: they hold the `state` and the code. */
function describe({ method, url, status, location }: Visit): string {
  const answer = `${method} ${placeOf(url)}: ${status}`;
  if (location === undefined) return answer;
  return `${answer}, on to ${location.origin === url.origin ? hideId(location.pathname) : placeOf(location)}`;
}

function placeOf({ origin, pathname }: URL): string {
  return origin + hideId(pathname);
}

/** The id of an authorization that is under way is also the value of a cookie. */
function hideId(path: string): string {
  return path.replace(/^(\/(?:interaction|authorize))\/.+/, "$1/…");
}

function titleOf(html: string): string {
  return /<h1>(.*?)<\/h1>/s.exec(html)?.[1]?.replaceAll(/<[^>]*>/g, "") ?? "(no title)";
}
