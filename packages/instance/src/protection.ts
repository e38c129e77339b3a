import type { RedisClient } from "@gatehouse/shared/redis-connection";
import type { HostConfig } from "@gatehouse/shared/host-config";
import type { Hostname } from "@gatehouse/shared/hostname";
import type { RecordLog } from "@gatehouse/shared/log-record";
import type { SealingKeys } from "@gatehouse/shared/sealing";
import { serveProtected, type Behind, type Serve } from "./app.ts";
import { AuthorizationServer } from "./authorization-server/authorization-server.ts";
import type { DocumentFetcherOptions } from "./authorization-server/document-fetch.ts";
import type { GitHubSettings } from "./authorization-server/github-options.ts";
import { ProviderLogin } from "./authorization-server/login.ts";
import type { Forwarder } from "./forward.ts";
import { abuseLimitsOf, lifetimesOf, registrationLimitsOf, type OAuthConfig } from "./oauth-options.ts";
import { ProtectedResource } from "./protected-resource/protected-resource.ts";
import type { TokenCheck } from "./protected-resource/token-check.ts";

/** What stands between the peers of a protected host and its upstream. */
export interface Protection {
  readonly server: AuthorizationServer;
  readonly resource: ProtectedResource;
  /** Puts every path of the host in front of what is behind them. */
  readonly serve: (behind: Behind) => Serve;
}

export interface ProtectionOptions {
  readonly hostname: Hostname;
  readonly publicPort: number;
  readonly redisUrl: string;
  readonly redis: RedisClient;
  readonly sealing: SealingKeys;
  readonly log: RecordLog;
  readonly oauth: OAuthConfig;
  readonly github: GitHubSettings;
  readonly hostConfig: () => HostConfig;
  /** The signing keys as last known, sealed, for a start without Redis. */
  readonly signingKeyCopy: string | null;
  /** How metadata documents of clients are fetched, as far as the options don't say it. */
  readonly documents?: DocumentFetcherOptions | undefined;
  /** Takes back what was let through; {@link Forwarder.withdraw}. */
  readonly withdraw: Forwarder["withdraw"];
  /** Told what came of the credentials of each request to the protected resource. */
  readonly onTokenCheck: (result: TokenCheck) => void;
}

/** Opens both. @throws {Error} when the signing keys can't be had */
export async function openProtection(options: ProtectionOptions): Promise<Protection> {
  const { hostname, publicPort, redisUrl, redis, sealing, log, oauth, documents, hostConfig } = options;
  const origin = `https://${hostname}${publicPort === 443 ? "" : `:${publicPort}`}`;
  const host = { hostname, origin, redis, sealing, log, hostConfig };
  const lifetimes = lifetimesOf(oauth);
  const abuseLimits = abuseLimitsOf(oauth);
  const server = await AuthorizationServer.open({
    ...host,
    login: new ProviderLogin({
      ...host,
      github: options.github,
      seconds: lifetimes.pendingLogin,
      consentsPerLogin: abuseLimits.consentsPerLogin,
    }),
    lifetimes,
    registrationLimits: registrationLimitsOf(oauth),
    abuseLimits,
    redirectSchemes: oauth.redirectSchemes,
    documents: { fetchesPerMinute: oauth.metadataDocumentsPerMinute, ...documents },
    signingKeyCopy: options.signingKeyCopy,
  });
  const resource = new ProtectedResource({
    hostname,
    origin,
    log,
    keys: server.signingKeys,
    redisUrl,
    redis,
    withdraw: options.withdraw,
    sessions: { seconds: oauth.mcpSessionSeconds },
    onTokenCheck: options.onTokenCheck,
  });
  const parts = { server, resource };
  return { ...parts, serve: (behind) => serveProtected(parts, behind) };
}
