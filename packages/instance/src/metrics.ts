import type { LogRecord, RecordLog } from "@gatehouse/shared/log-record";
import type { Counter, Histogram, Labelled, MetricRegistry } from "@gatehouse/shared/metrics";
import { LIMIT_REASONS } from "./authorization-server/abuse-limits.ts";
import type { CertificateReport } from "./live-certificate.ts";
import { INSTANCE_METRICS } from "./metric-catalog.ts";
import { TOKEN_CHECKS, type TokenCheck } from "./protected-resource/token-check.ts";

/** Those that the conventions know; what else a peer invents is one value. */
const KNOWN_METHODS: ReadonlySet<string | undefined> = new Set([
  "CONNECT",
  "DELETE",
  "GET",
  "HEAD",
  "OPTIONS",
  "PATCH",
  "POST",
  "PUT",
  "TRACE",
]);
const OTHER_METHOD = "_OTHER";

/** Words of a failed handshake's record that are worth a series each; OpenSSL has hundreds. */
const HANDSHAKE_FAILURES: ReadonlySet<string> = new Set([
  "peer_closed",
  "handshake_timeout",
  "no_application_protocol",
  "no_shared_cipher",
  "unsupported_protocol",
]);

/** What is known only at the moment of asking. */
export interface LiveFigures {
  readonly requests: () => number;
  readonly connections: () => number;
  readonly streams: () => { readonly sse: number; readonly webSocket: number };
  readonly certificate: () => CertificateReport;
  readonly isStoreFresh: () => boolean;
}

/**
 * What an instance counts. Most of it passes by as records, of which there is exactly one for each request: counting them there needs
 * no second set of calls that could disagree with the record.
 */
export class InstanceMetrics {
  readonly #requests: Labelled<Histogram>;
  readonly #upstream: Labelled<Histogram>;
  readonly #refused: Labelled<Counter>;
  readonly #handshakes: Labelled<Histogram>;
  readonly #tokenChecks: Labelled<Counter>;
  readonly #oauthSteps: Labelled<Counter>;
  readonly #oauthLimited: Labelled<Counter>;

  constructor(registry: MetricRegistry, live: LiveFigures) {
    const catalog = INSTANCE_METRICS;
    this.#requests = registry.histograms(catalog.requestDuration);
    registry.observe(catalog.activeRequests, live.requests);
    this.#upstream = registry.histograms(catalog.upstreamDuration);
    registry.observe(catalog.streams, () => {
      const { sse, webSocket } = live.streams();
      return [
        { value: sse, labels: ["sse"] },
        { value: webSocket, labels: ["websocket"] },
      ];
    });
    registry.observe(catalog.connections, live.connections);
    this.#refused = registry.counters(catalog.connectionsRefused);
    this.#handshakes = registry.histograms(catalog.handshakeDuration).expect(["ok", "certificate_refused"]);
    this.#tokenChecks = registry.counters(catalog.tokenChecks).expect(TOKEN_CHECKS);
    this.#oauthSteps = registry.counters(catalog.oauthSteps);
    this.#oauthLimited = registry.counters(catalog.oauthLimited).expect(LIMIT_REASONS);
    registry.observe(catalog.certificateNotAfter, () => {
      const { source, expires_at: expiresAt } = live.certificate();
      return expiresAt === undefined
        ? undefined
        : [{ value: Date.parse(expiresAt) / 1000, labels: [source] }];
    });
    registry.observe(catalog.redisConnected, () => (live.isStoreFresh() ? 1 : 0));
  }

  /** Returns a log that counts what is written to it, of whatever level, and passes it on. */
  counting(log: RecordLog): RecordLog {
    return {
      isEnabled: (level) => log.isEnabled(level),
      write: (record) => {
        this.#countRecord(record);
        log.write(record);
      },
    };
  }

  /** `reason` is the record's word for a handshake that failed, undefined for one that did not. */
  countHandshake(durationMs: number, reason?: string): void {
    this.#handshakes.of(handshakeResult(reason)).record(durationMs / 1000);
  }

  countTokenCheck(result: TokenCheck): void {
    this.#tokenChecks.of(result).add();
  }

  #countRecord(record: LogRecord): void {
    if (record.component === "oauth") this.#countStep(record);
    else if (record.event === "request_ended") this.#countRequest(record);
    else if (record.event === "connection_refused") this.#refused.of(record.reason ?? "").add();
  }

  #countStep({ event, reason }: LogRecord): void {
    this.#oauthSteps.of(event).add();
    const limit = LIMIT_REASONS.find((known) => known === reason);
    if (limit !== undefined) this.#oauthLimited.of(limit).add();
  }

  #countRequest({ method = OTHER_METHOD, status = 0, duration_ms = 0, upstream_ms }: LogRecord): void {
    const known = KNOWN_METHODS.has(method) ? method : OTHER_METHOD;
    this.#requests.of(known, status).record(duration_ms / 1000);
    if (upstream_ms !== undefined) this.#upstream.of(known, status).record(upstream_ms / 1000);
  }
}

function handshakeResult(reason: string | undefined): string {
  if (reason === undefined) return "ok";
  if (HANDSHAKE_FAILURES.has(reason)) return reason;
  // Alerts that peers send about our certificate: unknown_ca, bad_certificate, certificate_unknown, certificate_expired.
  return /certificate|unknown_ca/.test(reason) ? "certificate_refused" : "other";
}
