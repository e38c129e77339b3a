import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { decodeJwt } from "jose";
import type { LogRecord, RecordLog } from "@gatehouse/shared/log-record";
import { closeRedis, openRedis } from "@gatehouse/shared/redis-connection";
import { newSecretKey, SealingKeys } from "@gatehouse/shared/sealing";
import { startGitHub, type StandInGitHub } from "@gatehouse/testbed/github";
import { startPrivateRedis } from "@gatehouse/testbed/private-redis";
import { ProviderLogin, type ProviderLoginOptions } from "../../src/authorization-server/login.ts";
import { Harness, PUBLIC_CLIENT, hostname, type Answer } from "./authorization-server-harness.ts";
import { PersonBrowser, type Stop } from "./person-browser.ts";

export const NAME = "simple-oauth.example.com";
export const ORIGIN = `https://${NAME}`;
const CALLBACK = `${ORIGIN}/callback`;

/** As in the demo: everyone may log in, only octocat administers. */
export const DEMO_LISTS = { auth_required_users: ["*"], oauth_admin_users: ["octocat"] };

export interface Authorization {
  readonly client: Answer;
  readonly verifier: string;
  readonly redirectUri: string;
  readonly url: string;
}

/** A whole login: the authorization server with the real login, a stand-in for GitHub, a private Redis. */
export class LoginHarness {
  readonly host: Harness;
  readonly github: StandInGitHub;
  readonly login: ProviderLogin;
  readonly records: LogRecord[];
  readonly #end: () => Promise<void>;

  private constructor(parts: {
    host: Harness;
    github: StandInGitHub;
    login: ProviderLogin;
    records: LogRecord[];
    end: () => Promise<void>;
  }) {
    this.host = parts.host;
    this.github = parts.github;
    this.login = parts.login;
    this.records = parts.records;
    this.#end = parts.end;
  }

  static async start(
    options: { config?: Record<string, unknown>; login?: Partial<ProviderLoginOptions> } = {},
  ): Promise<LoginHarness> {
    const store = await startPrivateRedis();
    const redis = openRedis({ url: store.url, clientName: "login" });
    await once(redis, "ready");
    const app = { clientId: "Iv1.test", clientSecret: "github-app-secret", callbackUrls: [CALLBACK] };
    const github = await startGitHub({ apps: [app] });
    const secret = newSecretKey();
    const sealing = SealingKeys.parse(secret, []);
    if (sealing === undefined) throw new TypeError("bad secret");
    const records: LogRecord[] = [];
    const log: RecordLog = { write: (record) => void records.push(record), isEnabled: () => true };
    let host: Harness | undefined;
    const login = new ProviderLogin({
      hostname: hostname(NAME),
      origin: ORIGIN,
      hostConfig: () => {
        if (host === undefined) throw new TypeError("not started");
        return host.config;
      },
      redis,
      sealing,
      log,
      github: { url: github.url, apiUrl: github.url, app },
      ...options.login,
    });
    host = await Harness.start({
      redis: store,
      secret,
      config: options.config ?? DEMO_LISTS,
      options: { login, log },
    });
    const started = host;
    const end = async (): Promise<void> => {
      await started.stop();
      await github.close();
      await closeRedis(redis);
      await store.stop();
    };
    return new LoginHarness({ host, github, login, records, end });
  }

  async stop(): Promise<void> {
    await this.#end();
  }

  browser(): PersonBrowser {
    return new PersonBrowser(this.host);
  }

  /** Registers a client and returns the address that it sends a browser to. */
  async authorization(
    metadata: Record<string, unknown> = {},
    parameters: Record<string, string> = {},
  ): Promise<Authorization> {
    const client = await this.host.register({ ...PUBLIC_CLIENT, ...metadata });
    const verifier = randomBytes(32).toString("base64url");
    const redirectUri = client.json["redirect_uris"][0];
    const query = new URLSearchParams({
      response_type: "code",
      client_id: client.json["client_id"],
      redirect_uri: redirectUri,
      code_challenge: createHash("sha256").update(verifier).digest("base64url"),
      code_challenge_method: "S256",
      state: "st-1",
      ...parameters,
    });
    return { client, verifier, redirectUri, url: `/authorize?${query.toString()}` };
  }

  /** Consents and signs in as that account; returns where the browser ends. */
  async logIn(as: string, authorization?: Authorization): Promise<Stop> {
    const browser = this.browser();
    const { url } = authorization ?? (await this.authorization());
    await browser.open(this.github.signInUrl(as));
    return await browser.submit(await browser.open(url));
  }

  /** Logs in and redeems the code; returns the token answer. */
  async tokens(
    as: string,
    parameters: Record<string, string> = {},
  ): Promise<{
    answer: Answer;
    claims: Record<string, unknown>;
    refresh: (token?: string) => Promise<Answer>;
  }> {
    const authorization = await this.authorization({}, parameters);
    const { client, verifier, redirectUri } = authorization;
    const client_id: string = client.json["client_id"];
    const end = await this.logIn(as, authorization);
    const answer = await this.host.post("/token", {
      grant_type: "authorization_code",
      code: end.url.searchParams.get("code") ?? "",
      redirect_uri: redirectUri,
      client_id,
      code_verifier: verifier,
    });
    const token: string | undefined = answer.json["access_token"];
    return {
      answer,
      claims: token === undefined ? {} : decodeJwt(token),
      refresh: async (refreshToken: string = answer.json["refresh_token"]) =>
        await this.host.post("/token", {
          grant_type: "refresh_token",
          refresh_token: refreshToken,
          client_id,
        }),
    };
  }

  /** Records of one event, oldest first. */
  recorded(event: LogRecord["event"]): LogRecord[] {
    return this.records.filter((record) => record.event === event);
  }
}
