import { startGitHub, type StandInGitHub } from "@gatehouse/testbed/github";
import { ScriptedBrowser, type Page } from "@gatehouse/testbed/scripted-browser";
import { startGatehouse, type Gatehouse, type GatehouseSpec, type HostSpec } from "./gatehouse.ts";
import { openLoopbackFetch, type LoopbackFetch } from "./loopback-fetch.ts";

/** The lists of the demo: everyone may log in, one person administers. */
const DEMO_LISTS = { auth_enabled: true, auth_required_users: ["*"], oauth_admin_users: ["octocat"] };

export type ProtectedHostSpec = HostSpec;

/** A Gatehouse of protected hosts, with a stand-in for GitHub where their people log in. */
export class ProtectedGatehouse {
  readonly gatehouse: Gatehouse;
  readonly github: StandInGitHub;
  readonly #loopback: LoopbackFetch;

  private constructor(gatehouse: Gatehouse, github: StandInGitHub) {
    this.gatehouse = gatehouse;
    this.github = github;
    this.#loopback = openLoopbackFetch(gatehouse.caPem);
  }

  static async start(
    hosts: readonly ProtectedHostSpec[],
    spec: Omit<GatehouseSpec, "hosts"> = {},
  ): Promise<ProtectedGatehouse> {
    // The callback URLs of the app at GitHub hold the public port, so that comes first.
    const gatehouse = await startGatehouse({ ...spec, hosts: [] });
    const [callbackUrl = "", ...others] = hosts.map(
      ({ hostname }) => `https://${hostname}:${gatehouse.port}/callback`,
    );
    const app = { clientId: "Iv1.test", clientSecret: "github-app-secret" };
    const github = await startGitHub({ apps: [{ ...app, callbackUrls: [callbackUrl, ...others] }] });
    const started = new ProtectedGatehouse(gatehouse, github);
    try {
      for (const host of hosts) {
        const config = { ...DEMO_LISTS, ...host.config };
        await gatehouse.addHost({ ...host, config, env: { ...started.providerEnv, ...host.env } });
      }
    } catch (error) {
      await started.stop();
      throw error;
    }
    return started;
  }

  /** What an instance has to know of the provider. */
  get providerEnv(): Record<string, string> {
    const { app, url } = this.github;
    return {
      GITHUB_CLIENT_ID: app.clientId,
      GITHUB_CLIENT_SECRET: app.clientSecret,
      GITHUB_URL: url,
      GITHUB_API_URL: url,
    };
  }

  /** Finds the hosts, and trusts their certificates. */
  get fetch(): typeof globalThis.fetch {
    return this.#loopback.fetch;
  }

  origin(hostname: string): string {
    return `https://${hostname}:${this.gatehouse.port}`;
  }

  /** Replaces a host config: upstream, certificate and the demo's lists, and what is given. */
  async configure({ hostname, upstreamUrl, config }: ProtectedHostSpec): Promise<void> {
    const document = { target_url: upstreamUrl, certificate: "file", ...DEMO_LISTS, ...config };
    await this.gatehouse.configure(hostname, document);
  }

  /** Approves and logs in as a person would who is signed in to GitHub; returns where the browser ends. */
  async logIn(authorizationUrl: string | URL, login: string): Promise<Page> {
    const browser = new ScriptedBrowser(this.fetch);
    await browser.open(this.github.signInUrl(login));
    return await browser.submit(await browser.open(authorizationUrl));
  }

  async stop(): Promise<void> {
    await this.gatehouse.stop();
    await this.github.close();
    await this.#loopback.close();
  }
}
