import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { markup, plainName } from "../src/authorization-server/pages/markup.ts";
import { protocolProblemPage } from "../src/authorization-server/pages/problem-page.ts";

describe("markup", () => {
  test("lets no text out of its element or attribute, and shows it as it was", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const { text: html } = markup`<p title="${text}">${text}</p>`;
        const [, attribute = "", content = ""] = /^<p title="([^"]*)">([^<]*)<\/p>$/s.exec(html) ?? [];
        expect([attribute, content].map(unescape)).toEqual([text, text]);
        expect(html).toMatch(/^<p title="[^"<>']*">[^"<>']*<\/p>$/s);
      }),
    );
  });

  test("keeps what is markup already, in lists too, and drops what is absent", () => {
    const items = ["<a>", "b"].map((item) => markup`<li>${item}</li>`);
    expect(markup`<ul>${items}</ul>${undefined}`.text).toBe("<ul><li>&lt;a&gt;</li><li>b</li></ul>");
  });
});

describe("a name that a stranger chose", () => {
  test.each([
    ["Claude", "Claude"],
    ["  My \n\t App ", "My App"],
    ["evil\u202etxt.exe", "evil txt.exe"],
    ["a\u200bb\u2066c", "a b c"],
    ["日本語 クライアント", "日本語 クライアント"],
    ["\u202e\u200b \u0000", undefined],
    ["", undefined],
    [undefined, undefined],
  ])("%j is shown as %j", (name, shown) => {
    expect(plainName(name)).toBe(shown);
  });

  test("is cut where it is long, never through a character", () => {
    expect(plainName("x".repeat(79) + "😀".repeat(10))).toBe(`${"x".repeat(79)}…`);
  });
});

describe("the page for an error of the protocol", () => {
  test("shows what it was given as text", async () => {
    const page = protocolProblemPage({
      status: 400,
      error: "invalid_client",
      description: "<script>x</script>",
    });
    expect(page.status).toBe(400);
    const text = await page.text();
    expect(text).toContain("invalid_client: &lt;script&gt;x&lt;/script&gt;");
    expect(text).not.toContain("<script>");
    expect(page.headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
  });
});

function unescape(text: string): string {
  return text
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&#39;", "'")
    .replaceAll("&amp;", "&");
}
