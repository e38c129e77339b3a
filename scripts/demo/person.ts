import { ScriptedBrowser, type Visit } from "@gatehouse/testbed/scripted-browser";
import type { FetchLike } from "@modelcontextprotocol/client";
import { loopbackRedirect } from "./loopback-redirect.ts";

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
  const redirect = await loopbackRedirect("The demo goes on in its terminal. You may close this window.");
  return {
    name: "you",
    redirectUri: redirect.uri,
    authorize: async (url) => {
      tell(`open this in your browser (which does not know the demo's authority yet):\n${url.href}`);
      return await redirect.arrival();
    },
    close: async () => redirect.close(),
  };
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
