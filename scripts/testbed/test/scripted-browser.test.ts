import { afterEach, expect, test } from "@jest/globals";
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { ScriptedBrowser, type Visit } from "../scripted-browser.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("cookies go back to their own path, until they are taken away", async () => {
  const seen: [path: string, cookies: string][] = [];
  const origin = await serve((request, response) => {
    seen.push([request.url ?? "", request.headers.cookie ?? ""]);
    if (request.url === "/set")
      response.setHeader("set-cookie", [
        "a=1; Path=/; HttpOnly",
        "b=x=y; path=/deep",
        "__Host-c=3; Path=/; Secure",
      ]);
    if (request.url === "/clear") response.setHeader("set-cookie", "a=; Path=/; Max-Age=0");
    response.end();
  });
  const browser = new ScriptedBrowser(fetch);
  for (const path of ["/set", "/deep/er", "/deeper", "/clear", "/after"]) await browser.open(origin + path);
  expect(seen).toEqual([
    ["/set", ""],
    ["/deep/er", "a=1; b=x=y; __Host-c=3"],
    ["/deeper", "a=1; __Host-c=3"],
    ["/clear", "a=1; __Host-c=3"],
    ["/after", "__Host-c=3"],
  ]);
});

test.each([
  "__Host-a=1; Path=/",
  "__Host-a=1; Path=/x; Secure",
  "__Host-a=1; Path=/; Secure; Domain=localhost",
])("a cookie that no browser keeps is an error: %s", async (cookie) => {
  const origin = await serve((_, response) => response.setHeader("set-cookie", cookie).end());
  await expect(new ScriptedBrowser(fetch).open(origin)).rejects.toThrow("refuses the cookie __Host-a");
});

test("a form is found by its fields and sent as it stands, with the origin of its page", async () => {
  const posts: unknown[] = [];
  const origin = await serve((request, response) => {
    if (request.method === "GET") {
      response.end(
        '<form method="post" action="/no"><input type="hidden" name="choice" value="no"></form>' +
          '<form method="post" action="/yes?a=1&amp;b=2"><input name="choice" value="yes"><input name="t" value="&quot;&#39;"></form>',
      );
      return;
    }
    let body = "";
    request.on("data", (chunk) => (body += String(chunk)));
    request.on("end", () => {
      posts.push([request.url, request.headers.origin, body]);
      response.end("done");
    });
  });
  const browser = new ScriptedBrowser(fetch);
  const page = await browser.open(origin);
  expect((await browser.submit(page, { choice: "yes" })).text).toBe("done");
  expect(posts).toEqual([["/yes?a=1&b=2", origin, "choice=yes&t=%22%27"]]);
  await expect(browser.submit(page, { choice: "maybe" })).rejects.toThrow('no form with {"choice":"maybe"}');
});

test("redirects are followed and told, as a GET, up to the first place that is not on this machine", async () => {
  const origin = await serve((request, response) => {
    const next = request.url === "/start" ? "/middle" : "https://claude.example/callback?code=1";
    response.writeHead(303, { location: next }).end();
  });
  const visits: Visit[] = [];
  const end = await new ScriptedBrowser(fetch, (visit) => visits.push(visit)).open(`${origin}/start`);
  expect([end.status, end.url.href]).toEqual([0, "https://claude.example/callback?code=1"]);
  expect(
    visits.map(({ method, url, status, location }) => [method, url.pathname, status, location?.href]),
  ).toEqual([
    ["GET", "/start", 303, `${origin}/middle`],
    ["GET", "/middle", 303, "https://claude.example/callback?code=1"],
  ]);
});
