import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { findChromium } from "@gatehouse/testbed/chromium-program";
import { ChromiumBed } from "./support/chromium-bed.ts";
import { DEMO_LISTS, NAME, ORIGIN, type LoginHarness } from "./support/login-harness.ts";

const CLIENT = "https://client.example/callback";

const found = await findChromium();
const whenFound = "program" in found ? describe : describe.skip;
const title = "program" in found ? "pages in Chromium" : `pages in Chromium (skipped: ${found.missing})`;

whenFound(title, () => {
  let bed: ChromiumBed;
  let harness: LoginHarness;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  /** What the browser complains about: a blocked style, form or frame shows here. */
  let complaints: string[];

  beforeAll(async () => {
    bed = await ChromiumBed.open("program" in found ? found.program : "", {
      "client.example": (request, response) =>
        response.writeHead(200, { "content-type": "text/plain" }).end(`client has ${request.url ?? ""}`),
    });
    ({ harness, browser } = bed);
  }, 90_000);

  afterAll(async () => {
    await bed.close();
  });

  beforeEach(async () => {
    harness.host.configure(DEMO_LISTS);
    context = await browser.newContext();
    page = await context.newPage();
    complaints = [];
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
    });
  });

  afterEach(async () => {
    await context.close();
    harness.records.length = 0;
  });

  async function openConsent(metadata: Record<string, unknown> = {}): Promise<void> {
    const { url } = await harness.authorization({
      client_name: "Claude",
      redirect_uris: [CLIENT],
      ...metadata,
    });
    await page.goto(ORIGIN + url);
  }

  test("a person consents, signs in at the provider and comes back to the client with a code", async () => {
    await openConsent();
    await page.getByRole("button", { name: "Continue with GitHub", exact: true }).click();
    await page.getByRole("button", { name: "Sign in as octocat" }).click();
    await page.waitForURL(/^https:\/\/client\.example\//);
    const { searchParams } = new URL(page.url());
    expect(searchParams.get("code")).toMatch(/./);
    expect(searchParams.get("iss")).toBe(ORIGIN);
    expect(complaints).toEqual([]);
    expect(await page.textContent("body")).toContain("client has /callback");
  });

  test("who is signed in at the provider already has one button to press", async () => {
    await page.goto(harness.github.signInUrl("hubot"));
    await openConsent();
    await page.getByRole("button", { name: "Continue with GitHub", exact: true }).click();
    await page.waitForURL(/^https:\/\/client\.example\/callback\?.*code=/);
    expect(harness.recorded("login_succeeded")).toMatchObject([{ user: "hubot" }]);
  });

  test("a person declines by keyboard, and the client hears of it", async () => {
    await openConsent();
    await page.keyboard.press("Tab");
    await page.keyboard.press("Tab");
    expect(await page.evaluate<string>("document.activeElement.textContent")).toBe("Cancel");
    expect(await page.evaluate<string>("getComputedStyle(document.activeElement).outlineStyle")).toBe(
      "solid",
    );
    await page.keyboard.press("Enter");
    await page.waitForURL(/^https:\/\/client\.example\/callback\?.*error=access_denied/);
    expect(complaints).toEqual([]);
  });

  test("a window that a client opened can still be seen by it", async () => {
    await page.goto(CLIENT);
    const { url } = await harness.authorization({ redirect_uris: [CLIENT] });
    const opened = page.waitForEvent("popup");
    await page.evaluate(`window.opened = window.open(${JSON.stringify(ORIGIN + url)}); 0`);
    const popup = await opened;
    await popup.getByRole("button", { name: "Cancel" }).click();
    await popup.waitForURL(/^https:\/\/client\.example\//);
    expect(await popup.evaluate<boolean>("window.opener !== null")).toBe(true);
    expect(await page.evaluate<string>("window.opened.location.host")).toBe("client.example");
  });

  test("nothing in a client's name runs or leaves its place", async () => {
    await openConsent({ client_name: `<img src=x onerror="document.title='owned'"><b>Claude</b>` });
    expect(await page.getByRole("heading", { level: 1 }).textContent()).toContain("<b>Claude</b>");
    expect(await page.locator("img, h1 b").count()).toBe(0);
    expect(await page.title()).not.toBe("owned");
    expect(complaints).toEqual([]);
  });

  test("the page can't be put into a frame", async () => {
    await openConsent();
    const consent = page.url();
    await page.goto(CLIENT);
    await page.evaluate(
      `(async () => { const frame = document.createElement("iframe"); frame.src = ${JSON.stringify(consent)};
        const loaded = new Promise((done) => frame.addEventListener("load", done)); document.body.append(frame); await loaded; })()`,
    );
    // The browser puts its own page in the place of a refused one, a moment after the load.
    const deadline = Date.now() + 10_000;
    const frame = page.frames()[1];
    while (frame?.url() === "" && Date.now() < deadline) await delay(10);
    expect(frame?.url()).toMatch(/^chrome-error:/);
  });

  test("is styled under its policy, in light and in dark, and readable: contrast of at least 4.5", async () => {
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      await openConsent({ redirect_uris: ["http://127.0.0.1/cb"] });
      expect(complaints).toEqual([]);
      for (const selector of ["h1", ".soft", ".host", ".warning p", ".choices .go", ".link", "dd"])
        expect([selector, await contrast(page, selector)]).toEqual([selector, expect.any(Number)]);
      for (const selector of ["h1", ".soft", ".host", ".warning p", ".choices .go", ".link", "dd"])
        expect(await contrast(page, selector)).toBeGreaterThanOrEqual(4.5);
    }
  });

  test("fits a phone without scrolling sideways, with buttons a finger can hit", async () => {
    await page.setViewportSize({ width: 320, height: 640 });
    await openConsent({
      client_name: "W".repeat(200),
      redirect_uris: [`https://${"long-name.".repeat(12)}example/callback`],
    });
    expect(await page.evaluate<number>("document.documentElement.scrollWidth")).toBeLessThanOrEqual(320);
    for (const button of await page.getByRole("button").all())
      expect((await button.boundingBox())?.height).toBeGreaterThanOrEqual(44);
  });

  test("says its language, its one landmark and its headings to who can't see it", async () => {
    await openConsent({ redirect_uris: ["http://localhost/cb"] });
    expect(await page.locator("html").getAttribute("lang")).toBe("en");
    expect(await page.getByRole("main").count()).toBe(1);
    expect(await page.getByRole("heading", { level: 1 }).count()).toBe(1);
    expect(await page.getByRole("region").count()).toBe(2);
    expect(await page.title()).toBe(`Claude asks for access to ${NAME}`);
    // Every control has a name, every hidden field is hidden from everyone.
    for (const button of await page.getByRole("button").all())
      expect(await button.textContent()).toMatch(/\w/);
    expect(await page.locator("input:not([type=hidden])").count()).toBe(0);
  });

  test("an error that can't go back to the client is a page in the same clothes", async () => {
    const response = await page.goto(
      `${ORIGIN}/authorize?client_id=<script>document.title=1</script>&response_type=code`,
    );
    expect(response?.status()).toBe(400);
    expect(await page.getByRole("heading", { level: 1 }).textContent()).toMatch(
      /not known here|can.t be answered/,
    );
    expect(await page.textContent("main")).toContain("You may close this window");
    expect(complaints.filter((text) => !text.includes("status of 400"))).toEqual([]);
  });
});

/** Contrast of an element's text with what is behind it (WCAG 2.2, 1.4.3). */
async function contrast(page: Page, selector: string): Promise<number> {
  return await page.evaluate<number>(`(() => {
    const element = document.querySelector(${JSON.stringify(selector)});
    const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
    const luminance = (text) => {
      const [r, g, b] = rgb(text).map((value) => value / 255).map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    let behind = element;
    while (rgb(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
    const [one, other] = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(luminance);
    return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  })()`);
}
