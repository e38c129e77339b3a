import { once } from "node:events";
import { createServer as createHttp1, request as httpRequest, type Server as HttpServer } from "node:http";
import {
  connect as connectHttp2,
  constants,
  createServer as createHttp2,
  type Http2Server,
} from "node:http2";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { clientKey, refreshTokenKey } from "@gatehouse/shared/redis-keys";
import {
  Harness,
  PUBLIC_CLIENT,
  type Answer,
  type TokenFlow,
} from "./support/authorization-server-harness.ts";

const FORM = { "content-type": "application/x-www-form-urlencoded" };

let host: Harness;
beforeAll(async () => {
  host = await Harness.start();
});
beforeEach(() => {
  host.login.left = ["admin", "user", "mcp"];
});
afterAll(async () => {
  await host.stop();
});

async function refresh(flow: TokenFlow, token: string): Promise<Answer> {
  return await host.post("/token", flow.refresh(token));
}

/** Makes a used refresh token as old as if the seconds had passed. */
async function age(token: string, seconds: number): Promise<void> {
  const key = refreshTokenKey(token);
  const record = JSON.parse((await host.redis.get(key)) ?? "");
  record.used_at -= seconds * 1000;
  await host.redis.set(key, JSON.stringify(record), "KEEPTTL");
}

describe("a refresh token has one successor", () => {
  test("twenty parallel uses all succeed with one distinct successor", async () => {
    const flow = await host.tokens();
    const first: string = flow.answer.json["refresh_token"];
    const answers = await Promise.all(Array.from({ length: 20 }, async () => await refresh(flow, first)));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 200));
    const successors = new Set(answers.map(({ json }) => json["refresh_token"]));
    expect(successors.size).toBe(1);
    expect(successors.has(first)).toBe(false);
    const [successor = ""] = successors;
    expect((await refresh(flow, successor)).status).toBe(200);
    // Each answer has an access token of its own, all of them counted.
    expect(new Set(answers.map(({ json }) => json["access_token"])).size).toBe(20);
    const client = JSON.parse((await host.redis.get(clientKey(flow.form["client_id"] ?? ""))) ?? "");
    expect(client.usage_count).toBe(22);
  });

  test("an answer that got lost can be asked for again, for 30 s", async () => {
    const flow = await host.tokens();
    const first = flow.answer.json["refresh_token"];
    const lost = await refresh(flow, first);
    await age(first, 29);
    const again = await refresh(flow, first);
    expect(again.status).toBe(200);
    expect(again.json["refresh_token"]).toBe(lost.json["refresh_token"]);
  });

  test("shown again after 30 s it ends the family", async () => {
    const flow = await host.tokens();
    const first = flow.answer.json["refresh_token"];
    const second = (await refresh(flow, first)).json["refresh_token"];
    await age(first, 31);
    expect((await refresh(flow, first)).json["error"]).toBe("invalid_grant");
    expect((await refresh(flow, second)).json["error"]).toBe("invalid_grant");
  });

  test("shown again after its successor was used it ends the family, however soon", async () => {
    const flow = await host.tokens();
    const first = flow.answer.json["refresh_token"];
    const second = (await refresh(flow, first)).json["refresh_token"];
    const third = await refresh(flow, second);
    expect(third.status).toBe(200);
    expect((await refresh(flow, first)).json["error"]).toBe("invalid_grant");
    expect((await refresh(flow, third.json["refresh_token"])).json["error"]).toBe("invalid_grant");
    const { client_id = "" } = flow.form;
    const introspection = await host.post("/introspect", { client_id, token: third.json["access_token"] });
    expect(introspection.json).toEqual({ active: false });
  });

  test("another client that shows it gets nothing and ends nothing", async () => {
    const flow = await host.tokens();
    const thief = await host.register(PUBLIC_CLIENT);
    const first = flow.answer.json["refresh_token"];
    const stolen = await host.post("/token", { ...flow.refresh(first), client_id: thief.json["client_id"] });
    expect(stolen.json["error"]).toBe("invalid_grant");
    expect((await refresh(flow, first)).status).toBe(200);
  });
});

describe("a request that arrives after its client hung up", () => {
  let late: LateRequests;
  beforeAll(async () => {
    late = await LateRequests.start();
  });
  afterAll(async () => {
    await late.stop();
  });

  test.each(["HTTP/1.1", "HTTP/2"] as const)("is no replay (%s)", async (protocol) => {
    const flow = await host.tokens();
    const first = flow.answer.json["refresh_token"];
    const second = (await refresh(flow, first)).json["refresh_token"];
    const third = (await refresh(flow, second)).json["refresh_token"];
    await late.send(protocol, flow.refresh(first));
    expect((await refresh(flow, third)).status).toBe(200);
  });

  test.each(["HTTP/1.1", "HTTP/2"] as const)("uses up no token (%s)", async (protocol) => {
    const flow = await host.tokens();
    const first = flow.answer.json["refresh_token"];
    await late.send(protocol, flow.refresh(first));
    expect(JSON.parse((await host.redis.get(refreshTokenKey(first))) ?? "")).not.toHaveProperty("used_at");
  });
});

/** Token requests whose clients hang up when they have arrived as a whole and before Redis is asked. */
class LateRequests {
  readonly #http1: HttpServer;
  readonly #http2: Http2Server;
  /** Of the request that is on its way. */
  #arrived = Promise.withResolvers<void>();
  #left = Promise.withResolvers<void>();

  private constructor() {
    const listener: Harness["listener"] = (request, response) => {
      const { url, headers } = request;
      headers.host ??= new URL(host.origin).host;
      if (url !== "/token") throw new Error(`not for ${url}`);
      request.once("end", () => this.#arrived.resolve());
      const stream = "stream" in response ? response.stream : response;
      stream.once("close", () => this.#left.resolve());
      host.listener(request, response);
    };
    this.#http1 = createHttp1(listener);
    this.#http2 = createHttp2(listener);
  }

  static async start(): Promise<LateRequests> {
    const late = new LateRequests();
    for (const server of [late.#http1, late.#http2]) {
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
    }
    return late;
  }

  async stop(): Promise<void> {
    for (const server of [this.#http1, this.#http2]) {
      server.close();
      await once(server, "close");
    }
  }

  /** Resolves when the authorization server is done with it. */
  async send(protocol: "HTTP/1.1" | "HTTP/2", form: Record<string, string>): Promise<void> {
    this.#arrived = Promise.withResolvers();
    this.#left = Promise.withResolvers();
    const refused = host.records.length;
    await host.store.kill("SIGSTOP");
    const body = new URLSearchParams(form).toString();
    const hangUp = protocol === "HTTP/2" ? this.#sendHttp2(body) : this.#sendHttp1(body);
    await this.#arrived.promise;
    hangUp();
    await this.#left.promise;
    await host.store.kill("SIGCONT");
    while (!host.records.slice(refused).some(({ event }) => event.startsWith("token_")))
      await new Promise((resolve) => setImmediate(resolve));
  }

  #sendHttp1(body: string): () => void {
    const { port } = this.#http1.address() as AddressInfo;
    const request = httpRequest({
      host: "127.0.0.1",
      port,
      path: "/token",
      method: "POST",
      headers: { ...FORM, host: new URL(host.origin).host },
    });
    request.on("error", () => undefined).end(body);
    return () => void request.destroy();
  }

  #sendHttp2(body: string): () => void {
    const { port } = this.#http2.address() as AddressInfo;
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    const stream = session.request({ ":method": "POST", ":path": "/token", ...FORM });
    stream.on("error", () => undefined).end(body);
    return () => {
      stream.close(constants.NGHTTP2_CANCEL);
      session.close();
    };
  }
}

describe("a refresh asks again who the person is", () => {
  test("what the host config has taken away is gone", async () => {
    const flow = await host.tokens();
    host.login.left = ["mcp"];
    const answer = await refresh(flow, flow.answer.json["refresh_token"]);
    expect(answer.json["scope"]).toBe("mcp");
  });

  test("it never widens: what was not granted at the login does not come", async () => {
    host.login.scopes = ["mcp"];
    const flow = await host.tokens();
    host.login.scopes = ["admin", "user", "mcp"];
    const answer = await refresh(flow, flow.answer.json["refresh_token"]);
    expect(answer.json["scope"]).toBe("mcp");
  });

  test("nobody left: invalid_grant", async () => {
    const flow = await host.tokens();
    host.login.left = undefined;
    expect((await refresh(flow, flow.answer.json["refresh_token"])).json["error"]).toBe("invalid_grant");
  });

  test("a narrower scope is given, an unknown one ignored, a wider one refused (RFC 6749 section 6)", async () => {
    host.login.scopes = ["user", "mcp"];
    const flow = await host.tokens();
    host.login.scopes = ["admin", "user", "mcp"];
    const form = flow.refresh(flow.answer.json["refresh_token"]);
    expect((await host.post("/token", { ...form, scope: "mcp" })).json["scope"]).toBe("mcp");
    expect((await host.post("/token", { ...form, scope: "openid profile" })).json["scope"]).toBe("user mcp");
    expect((await host.post("/token", { ...form, scope: "admin" })).json["error"]).toBe("invalid_scope");
  });

  test("the token that tells memberships is kept sealed and handed back", async () => {
    host.login.membershipToken = "gho_secret";
    const flow = await host.tokens();
    host.login.membershipToken = undefined;
    await refresh(flow, flow.answer.json["refresh_token"]);
    expect(host.login.reassessed?.membershipToken).toBe("gho_secret");
  });
});

test("a token lives 60 days, its family 365 from the login", async () => {
  const flow = await host.tokens();
  const first = flow.answer.json["refresh_token"];
  expect(await host.redis.ttl(refreshTokenKey(first))).toBeGreaterThan(60 * 86_400 - 60);
  const key = refreshTokenKey(first);
  const record = JSON.parse((await host.redis.get(key)) ?? "");
  record.payload.iiat -= 364 * 86_400;
  await host.redis.set(key, JSON.stringify(record), "KEEPTTL");
  const second = (await refresh(flow, first)).json["refresh_token"];
  const left = await host.redis.ttl(refreshTokenKey(second));
  expect(left).toBeGreaterThan(86_400 - 60);
  expect(left).toBeLessThanOrEqual(86_400);
});

test("a client that did not register for refresh tokens gets none", async () => {
  const client = await host.register({ ...PUBLIC_CLIENT, grant_types: ["authorization_code"] });
  const { answer } = await host.tokens({ client });
  expect(answer.status).toBe(200);
  expect(answer.json["refresh_token"]).toBeUndefined();
});

test("a refresh whose answer the store lost half way can be tried again", async () => {
  const flow = await host.tokens();
  const first = flow.answer.json["refresh_token"];
  // The successor is chosen and written, the record of the access token is refused.
  await host.redis.call("ACL", "SETUSER", "default", "resetkeys", "%R~*", "%W~oauth:[!t]*");
  const failed = await refresh(flow, first);
  await host.redis.call("ACL", "SETUSER", "default", "~*");
  expect([failed.status, failed.json["access_token"]]).toEqual([500, undefined]);
  const again = await refresh(flow, first);
  expect(again.status).toBe(200);
  expect((await refresh(flow, again.json["refresh_token"])).status).toBe(200);
});
