import { once } from "node:events";
import { connect, createServer, type ClientHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";
import { Harness, PUBLIC_CLIENT, type Answer } from "./support/authorization-server-harness.ts";

let store: PrivateRedis;
let first: Harness;
let second: Harness;
beforeAll(async () => {
  store = await startPrivateRedis();
  first = await Harness.start({ redis: store });
  second = await Harness.start({ redis: store, secret: first.secret });
});
afterAll(async () => {
  await first.stop();
  await second.stop();
  await store.stop();
});

/** Sends one form to both instances in turn, all at once. */
async function storm(form: Record<string, string>): Promise<Answer[]> {
  return await Promise.all(
    Array.from(
      { length: 20 },
      async (_, count) => await (count % 2 === 0 ? first : second).post("/token", form),
    ),
  );
}

describe("two instances of one hostname, as while one replaces the other", () => {
  test("redeem a code once between them", async () => {
    const { form } = await first.code();
    const statuses = (await storm(form)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
    expect(statuses.filter((status) => status === 400)).toHaveLength(19);
  });

  test("agree on one successor", async () => {
    const flow = await second.tokens();
    const answers = await storm(flow.refresh(flow.answer.json["refresh_token"]));
    expect(new Set(answers.map(({ json }) => json["refresh_token"])).size).toBe(1);
    expect(answers.every(({ status }) => status === 200)).toBe(true);
  });

  test("know each other's tokens, and finish each other's logins", async () => {
    const flow = await first.tokens();
    const { client_id = "" } = flow.form;
    const { json } = await second.post("/introspect", {
      client_id,
      token: flow.answer.json["access_token"],
    });
    expect(json["active"]).toBe(true);
  });
});

describe("HTTP/2", () => {
  let session: ClientHttp2Session;
  let close: () => Promise<void>;
  beforeAll(async () => {
    const server = createServer((request, response) => first.listener(request, response));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    close = async () => {
      session.close();
      server.close();
      await once(server, "close");
    };
  });
  afterAll(async () => {
    await close();
  });

  async function send(
    headers: Record<string, string>,
    body?: string,
  ): Promise<{ status: number; text: string }> {
    const stream = session.request({
      ":authority": "simple-oauth.example.com",
      ":scheme": "https",
      ...headers,
    });
    stream.end(body);
    const [answered] = (await once(stream, "response")) as [Record<string, number>];
    let text = "";
    for await (const chunk of stream) text += String(chunk);
    return { status: answered[":status"] ?? 0, text };
  }

  test("registers, redeems and refuses as HTTP/1.1 does", async () => {
    const registered = await send(
      { ":method": "POST", ":path": "/register", "content-type": "application/json" },
      JSON.stringify(PUBLIC_CLIENT),
    );
    expect(registered.status).toBe(201);
    const client = JSON.parse(registered.text);
    expect(client.registration_client_uri).toBe(
      `https://simple-oauth.example.com/register/${client.client_id}`,
    );
    const { form } = await first.code();
    const answer = await send(
      { ":method": "POST", ":path": "/token", "content-type": "application/x-www-form-urlencoded" },
      new URLSearchParams(form).toString(),
    );
    expect([answer.status, JSON.parse(answer.text).token_type]).toEqual([200, "Bearer"]);
    const started = await send({ ":method": "GET", ":path": "/authorize?client_id=client_nobody" });
    expect(started.status).toBe(400);
  });
});
