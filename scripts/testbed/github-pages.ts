import type { ServerResponse } from "node:http";
import type { GitHubAccount } from "./github-accounts.ts";

/** Sends the page for a browser that is not signed in: a form for each account, the first one first. */
export function signInPage(
  response: ServerResponse,
  accounts: readonly GitHubAccount[],
  returnTo: string,
): void {
  const forms = accounts.map(
    ({ login, name }) => `<form method="post" action="/session">
<input type="hidden" name="login" value="${escape(login)}">
<input type="hidden" name="return_to" value="${escape(returnTo)}">
<button type="submit">Sign in as ${escape(login)} (${escape(name)})</button>
</form>`,
  );
  const lead = "<p>No account of yours is involved: this program stands in for GitHub. Choose who to be.</p>";
  sendPage(response, 200, `<h1>Sign in to the stand-in for GitHub</h1>\n${lead}\n${forms.join("\n")}`);
}

/** Sends a page with one sentence. */
export function messagePage(response: ServerResponse, status: number, message: string): void {
  sendPage(response, status, `<h1>Stand-in for GitHub</h1>\n<p>${escape(message)}</p>`);
}

function sendPage(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
  });
  response.end(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Stand-in for GitHub</title>
<style>
:root { color-scheme: light dark; }
body { max-width: 32rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif; }
button { font: inherit; width: 100%; min-height: 2.75rem; margin: 0.25rem 0; }
</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`);
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
