import { createHash } from "node:crypto";
import { Markup, markup } from "./markup.ts";
import { STYLE } from "./style.ts";

/** What a page shows; the frame around it is the same for all. */
export interface Page {
  readonly status: number;
  readonly title: string;
  readonly body: Markup;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * No script, nothing from elsewhere, and of styles exactly ours. `form-action` is left out on purpose: browsers hold it against
 * the redirects that follow a form as well, and those lead to the identity provider and to the client.
 */
const POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash("sha256").update(STYLE).digest("base64")}'`,
  "img-src data:",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join("; ");

/**
 * Headers of everything a person's browser gets from the login. No Cross-Origin-Opener-Policy: clients in a browser open the login
 * as a window and wait for it to come back to them.
 */
const PAGE_HEADERS: Readonly<Record<string, string>> = {
  "cache-control": "no-store",
  "content-security-policy": POLICY,
  // With `no-referrer` a browser sends `Origin: null` with the form.
  "referrer-policy": "same-origin",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

/** Returns a whole document as a response. */
export function pageResponse({ status, title, body, headers }: Page): Response {
  const document = markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<link rel="icon" href="data:,">
<title>${title}</title>
<style>${new Markup(STYLE)}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`;
  return new Response(document.text, {
    status,
    headers: { ...PAGE_HEADERS, "content-type": "text/html; charset=utf-8", ...headers },
  });
}

/** Sends the browser on with a GET, whatever it came with (RFC 9700 section 4.12). */
export function seeOther(location: string | URL, cookies: readonly string[] = []): Response {
  const headers = new Headers({ ...PAGE_HEADERS, location: String(location) });
  for (const cookie of cookies) headers.append("set-cookie", cookie);
  return new Response(null, { status: 303, headers });
}
