/** A neighbour below the same domain, which a browser takes for the same site, against a login: docs/attack-suites.md has the list. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { findChromium } from "@gatehouse/testbed/chromium-program";
import type { BrowserContext, Page } from "playwright-core";
import { ChromiumBed } from "./support/chromium-bed.ts";
import { ORIGIN } from "./support/login-harness.ts";

const NEIGHBOUR = "https://evil.example.com";
const CLIENT = "https://client.example/callback";

const found = await findChromium();
const whenFound = "program" in found ? describe : describe.skip;
const title =
  "program" in found ? "a neighbour in Chromium" : `a neighbour in Chromium (skipped: ${found.missing})`;

whenFound(title, () => {
  let bed: ChromiumBed;
  let context: BrowserContext;
  let page: Page;
  /** What the neighbour answers with: a page and its cookies. */
  let served: { html: string; cookies: string[] } = { html: "", cookies: [] };

  beforeAll(async () => {
    bed = await ChromiumBed.open("program" in found ? found.program : "", {
      "evil.example.com": (_request, response) =>
        response
          .writeHead(200, { "content-type": "text/html", "set-cookie": served.cookies })
          .end(`<!doctype html><title>neighbour</title>${served.html}`),
      "client.example": (_request, response) =>
        response.writeHead(200, { "content-type": "text/plain" }).end("client"),
    });
  }, 90_000);

  afterAll(async () => {
    await bed.close();
  });

  beforeEach(async () => {
    context = await bed.browser.newContext();
    page = await context.newPage();
    served = { html: "", cookies: [] };
    await page.goto(bed.harness.github.signInUrl("octocat"));
  });

  afterEach(async () => {
    await context.close();
    bed.harness.records.length = 0;
  });

  /** The victim stands on the consent page of a client. */
  async function openConsent(): Promise<string> {
    const { url } = await bed.harness.authorization({ client_name: "Claude", redirect_uris: [CLIENT] });
    await page.goto(ORIGIN + url);
    return page.url();
  }

  async function agree(): Promise<void> {
    await page.getByRole("button", { name: "Continue with GitHub", exact: true }).click();
    await page.waitForURL(/^https:\/\/client\.example\/callback\?.*code=/);
  }

  test("cookies that it tosses decide nothing: its own login is not finished, the victim's is", async () => {
    const attacker = bed.harness.browser();
    const start = await attacker.open((await bed.harness.authorization()).url);
    const own = attacker.cookieHeader(start.url).split("; ");
    served.cookies = own.flatMap((pair) => [
      `${pair}; Domain=example.com; Path=/; Secure`,
      `${pair}; Domain=example.com; Path=${start.url.pathname}; Secure`,
    ]);
    await page.goto(NEIGHBOUR);
    // The browser itself keeps no __Host- cookie of somebody else.
    const kept = (await context.cookies(start.url.href)).map(({ name }) => name);
    expect(kept.filter((name) => name.startsWith("__Host-"))).toEqual([]);
    expect(kept.some((name) => name.startsWith("__Secure-"))).toBe(true);
    const planted = await page.goto(start.url.href);
    expect(planted?.status()).toBe(400);
    expect(await page.locator("form").count()).toBe(0);
    await openConsent();
    await agree();
  });

  test("a form that it sends to the victim's consent page is refused, though the cookies go with it", async () => {
    const consent = await openConsent();
    const token = await page.locator("input[name=csrf_token]").first().getAttribute("value");
    for (const guess of ["", "x".repeat(43), token ?? ""]) {
      served.html = `<form method="post" action="${consent}"><input name="csrf_token" value="${guess}"><input name="decision" value="approve"></form>
        <button onclick="document.forms[0].submit()">go</button>`;
      await page.goto(NEIGHBOUR);
      const answered = page.waitForResponse((response) => response.request().method() === "POST");
      await page.getByRole("button").click();
      // Even the right token, which it can't read: the form has to come from the page itself.
      expect((await answered).status()).toBe(403);
    }
    expect(bed.harness.recorded("consent_given")).toEqual([]);
  });

  test("it can neither frame the consent page nor read it, from a window of its own or by fetch", async () => {
    const consent = await openConsent();
    served.html = `<iframe src="${consent}"></iframe>`;
    await page.goto(NEIGHBOUR);
    await page.waitForFunction("window.frames.length === 1");
    expect(page.frames()[1]?.url() ?? "").not.toContain("/interaction/");
    const opened = page.waitForEvent("popup");
    await page.evaluate(`window.opened = window.open(${JSON.stringify(consent)}); 0`);
    const popup = await opened;
    await popup.waitForLoadState();
    expect(await popup.locator("form").count()).toBeGreaterThan(0);
    const attempts = `(async () => {
      const read = () => { try { return window.opened.document.body.innerHTML; } catch (error) { return error.name; } };
      const fetched = await fetch(${JSON.stringify(consent)}, { credentials: "include" }).then((a) => a.text(), (error) => error.name);
      return [read(), fetched];
    })()`;
    expect(await page.evaluate<string[]>(attempts)).toEqual(["SecurityError", "TypeError"]);
  });
});
