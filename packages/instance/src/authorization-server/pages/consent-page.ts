import type { PendingLogin } from "../pending-login.ts";
import { markup, plainName, type Markup } from "./markup.ts";
import { pageResponse } from "./page.ts";

export interface ConsentView {
  readonly pending: PendingLogin;
  /** Of this host. */
  readonly hostname: string;
  /** Every scope that may come of it (`oauth/scope.ts`). */
  readonly scopes: readonly string[];
  /** As a person knows the identity provider. */
  readonly providerTitle: string;
  readonly formToken: string;
}

/** What a scope lets an application do (contract section 4: what needs which). */
const SCOPE_WORDS: ReadonlyMap<string, string> = new Map([
  ["admin", "administer this service: everything it offers, without restriction"],
  ["user", "use this service’s web pages and interfaces in your name"],
  ["mcp", "use this service’s MCP tools and data in your name"],
]);

/**
 * The page that asks before anything goes to the identity provider (MCP Security Best Practices, "Confused Deputy"). The approving
 * form is the first one, each choice is a form of its own, and each can be made without a pointer.
 */
export function consentPage(view: ConsentView): Response {
  const { pending, hostname } = view;
  const name = plainName(pending.client.name);
  const shown = name === undefined ? markup`An application without a name` : markup`<bdi>${name}</bdi>`;
  return pageResponse({
    status: 200,
    title: `${name ?? "An application"} asks for access to ${hostname}`,
    body: markup`<p class="host">${hostname}</p>
<h1>${shown} asks for access</h1>
<p>If you go on, you sign in with ${view.providerTitle}, and the application can use <strong>${hostname}</strong> in your name.</p>
${aboutClient(pending)}
${pending.isLoopbackOnly ? LOOPBACK_WARNING : undefined}
${aboutScopes(view.scopes)}
${choices(view)}`,
  });
}

/**
 * Where the browser will be sent is what a person can check, so it stands first (MCP, "Localhost Redirect URI Risks"). What the client
 * calls itself proves nothing unless it is described by a document on a website of its own.
 */
function aboutClient({ client, redirectHost }: PendingLogin): Markup {
  const idHost = client.isMetadataDocument ? URL.parse(client.id)?.host : undefined;
  return markup`<dl>
<div><dt>You will be sent back to</dt><dd>${redirectHost}<span class="soft">Only go on if you know this place and came from it.</span></dd></div>
${
  idHost === undefined
    ? markup`<div><dt>Application id</dt><dd><code>${client.id}</code><span class="soft">The application chose its name itself; nobody has checked it.</span></dd></div>`
    : markup`<div><dt>Described by</dt><dd>${idHost}<span class="soft">Its name and return addresses are as this website states them.</span></dd></div>`
}
</dl>`;
}

const LOOPBACK_WARNING = markup`<section class="warning" aria-labelledby="loopback">
<h2 id="loopback">This application runs on a computer, not on a website</h2>
<p>Access goes to a program on the device you are using now, and any program there can call itself by this name. Go on only if you have just
started it yourself, on this device.</p>
</section>`;

/** The upper bound of what can come of it: whose account it will be is not known before the login. */
function aboutScopes(scopes: readonly string[]): Markup {
  if (scopes.length === 0) return markup`<p>At present nobody is given any access here.</p>`;
  const items = scopes.map((scope) => {
    const words = SCOPE_WORDS.get(scope);
    return words === undefined
      ? markup`<li><code>${scope}</code></li>`
      : markup`<li>${words} <span class="soft">(<code>${scope}</code>)</span></li>`;
  });
  return markup`<section aria-labelledby="scopes">
<h2 id="scopes">It may then, at most</h2>
<ul>${items}</ul>
<p class="soft">Your account decides which of these are granted: what your account may not do here, the application may not do either.</p>
</section>`;
}

/** Each button has a form of its own, which says the choice in a hidden field: nothing depends on which button a browser reports. */
function choices({ pending, providerTitle, formToken }: ConsentView): Markup {
  const form = (choice: string, button: Markup): Markup =>
    markup`<form method="post" action="/interaction/${pending.uid}">
<input type="hidden" name="csrf_token" value="${formToken}"><input type="hidden" name="choice" value="${choice}">
${button}
</form>`;
  return markup`<div class="choices">
${form("approve", markup`<button type="submit" class="go">Continue with ${providerTitle}</button>`)}
${form("deny", markup`<button type="submit">Cancel</button>`)}
</div>
${form("approve_other_account", markup`<button type="submit" class="link">Continue with another ${providerTitle} account</button>`)}`;
}
