import type { EventEmitter } from "node:events";
import { errors, Provider } from "oidc-provider";
import type { KoaContextWithOIDC } from "oidc-provider";
import type { RecordLog, LogRecord } from "@gatehouse/shared/log-record";
import type { SigningKeyRing } from "../oauth/signing-key.ts";
import type { Who } from "../access-log.ts";
import { faultOf } from "../fault.ts";
import { accountOf } from "./account.ts";
import { EngineRequest, EngineResponse, type EngineCall, type PageProblem } from "./engine-exchange.ts";
import { oauthReason } from "./oauth-reason.ts";
import { buildProvider, type ProviderOptions } from "./provider.ts";
import { METADATA_NAMES } from "./register.ts";
import type { Trace } from "./request-trace.ts";

export interface EngineOptions extends ProviderOptions {
  readonly keys: SigningKeyRing;
  readonly log: RecordLog;
}

/** What the engine made of a call. */
export interface EngineAnswer {
  readonly response: EngineResponse;
  /** Set when a person should be shown why, instead of the response. */
  readonly problem: PageProblem | undefined;
  readonly who: Who;
}

/** Something failed that is not the request's fault: Redis, the identity provider, a fault of ours. Nothing was issued. */
export class EngineFailure extends Error {
  override readonly name = "EngineFailure";
}

/** What the client is could not be fetched, because the peer or all together had too much fetched: it is to try again. */
export class FetchLimitReached extends Error {
  override readonly name = "FetchLimitReached";
  readonly waitMs: number;

  constructor(waitMs: number) {
    super("too many documents of clients were fetched in this minute");
    this.waitMs = waitMs;
  }
}

/** oidc-provider with this host's keys: called with requests made for it, heard for what it did. */
export class Engine {
  readonly #options: EngineOptions;
  readonly #host: string;
  readonly #stopListening: () => void;
  #provider: Provider;
  #handle: ReturnType<Provider["callback"]>;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#host = new URL(options.origin).host;
    this.#provider = this.#build();
    this.#handle = this.#provider.callback();
    this.#stopListening = options.keys.onChange(({ active }) => {
      this.#provider = this.#build();
      this.#handle = this.#provider.callback();
      this.#write({
        level: "info",
        event: "signing_key_changed",
        message: `signing key is now ${active.kid}`,
      });
    });
  }

  /** The engine itself, for its models. Another one after a key rotation: never keep it. */
  get provider(): Provider {
    return this.#provider;
  }

  /** @throws {EngineFailure} @throws {FetchLimitReached} */
  async call(call: Omit<EngineCall, "host">): Promise<EngineAnswer> {
    const request = new EngineRequest({ ...call, host: this.#host });
    const response = new EngineResponse(request);
    await this.#handle(request, response);
    // A browser that the engine could send back to its client is sent back, with `server_error`.
    if (request.failure !== undefined && !response.hasHeader("location")) {
      throw new EngineFailure("the authorization server failed", { cause: request.failure });
    }
    // Clients take `invalid_client` for the end and drop what they have.
    if (request.fetchWaitMs > 0 && response.statusCode >= 400)
      throw new FetchLimitReached(request.fetchWaitMs);
    return { response, problem: request.pageProblem, who: request.who };
  }

  close(): void {
    this.#stopListening();
  }

  #build(): Provider {
    const provider = buildProvider(this.#options, this.#options.keys.current);
    const emitter: EventEmitter = provider;
    const on = (name: string, listener: (context: KoaContextWithOIDC, detail: unknown) => void): void => {
      emitter.on(name, listener);
    };
    provider.use(async (context, next) => {
      await next();
      if (context.req instanceof EngineRequest) context.req.who = whoIn(context);
    });
    on("server_error", (context, error) => this.#failed(context, error));
    emitter.on("error", (error: unknown, context: KoaContextWithOIDC | undefined) => {
      if (context !== undefined) this.#failed(context, error);
    });
    on("registration_create.success", (context) => this.#record(context, CLIENT_REGISTERED));
    on("registration_update.success", (context) => this.#record(context, CLIENT_CHANGED));
    on("registration_delete.success", (context) => this.#record(context, CLIENT_DELETED));
    for (const step of ["create", "read", "update", "delete"]) {
      on(`registration_${step}.error`, (context, error) =>
        this.#refused(context, { event: "client_refused", what: "registration refused", error }),
      );
    }
    on("interaction.started", (context) => this.#record(context, AUTHORIZATION_STARTED));
    on("authorization.success", (context) => this.#record(context, AUTHORIZATION_GRANTED));
    on("authorization.error", (context, error) =>
      this.#refused(context, { event: "authorization_refused", what: "authorization refused", error }),
    );
    on("grant.success", (context) =>
      this.#record(context, {
        level: "info",
        event: "token_issued",
        message: `token issued: ${grantType(context)}`,
      }),
    );
    on("grant.error", (context, error) =>
      this.#refused(context, { event: "token_refused", what: `token refused: ${grantType(context)}`, error }),
    );
    for (const what of ["revocation", "introspection"]) {
      on(`${what}.error`, (context, error) =>
        this.#refused(context, { event: "token_refused", what: `${what} refused`, error }),
      );
    }
    on("grant.revoked", (context) => this.#record(context, GRANT_REVOKED));
    provider.on("access_token.destroyed", ({ clientId = "" }) => {
      // The event itself does not tell in which request it happened.
      const context = Provider.ctx;
      if (context === undefined) this.#write({ ...TOKEN_REVOKED, client_id: clientId });
      else this.#record(context, TOKEN_REVOKED);
    });
    return provider;
  }

  /** For a step that the engine has no part in. */
  record(trace: Trace, step: Step): void {
    this.#write({ ...step, ...trace });
  }

  #refused(
    context: KoaContextWithOIDC,
    { event, what, error }: { event: LogRecord["event"]; what: string; error: unknown },
  ): void {
    const reason = error instanceof errors.OIDCProviderError ? oauthReason(error.error) : "oauth_error";
    this.#record(context, { level: "warn", event, message: `${what}: ${describe(error)}`, reason });
  }

  /** Of one failure the engine tells twice. */
  #failed(context: KoaContextWithOIDC, error: unknown): void {
    const { req } = context;
    const isKnown = req instanceof EngineRequest && req.failure !== undefined;
    if (req instanceof EngineRequest) req.failure = error;
    if (isKnown) return;
    this.#record(context, { level: "error", event: "oauth_failed", message: `failed: ${describe(error)}` });
  }

  /** One record per step, with what the engine knows by then about who and for whom. */
  #record(context: KoaContextWithOIDC, step: Step): void {
    const trace = context.req instanceof EngineRequest ? context.req.trace : {};
    this.#write({ ...step, ...trace, ...whoIn(context) });
  }

  #write(fields: Omit<LogRecord, "time" | "component">): void {
    const { log, store } = this.#options;
    log.write({ time: Date.now(), component: "oauth", hostname: store.hostname, ...fields });
  }
}

/** Whom the engine works for in a request; it fails without any of it where the request is none of its own. */
function whoIn(context: Partial<KoaContextWithOIDC>): Who {
  const { oidc } = context;
  if (oidc === undefined) return {};
  const { account, client, entities } = oidc;
  const subject = account === undefined ? undefined : accountOf({ oidc });
  const scope = entities.AccessToken?.scope;
  return {
    ...(client === undefined ? {} : { client_id: client.clientId }),
    ...(subject === undefined ? {} : { user: subject.identity.login, uid: subject.identity.uid }),
    ...(scope === undefined ? {} : { scopes: scope.split(" ") }),
  };
}

type Step = Pick<LogRecord, "level" | "event" | "reason"> & { readonly message: string };

const CLIENT_REGISTERED: Step = { level: "info", event: "client_registered", message: "client registered" };
const CLIENT_CHANGED: Step = { level: "info", event: "client_changed", message: "client changed" };
const CLIENT_DELETED: Step = { level: "info", event: "client_deleted", message: "client deleted" };
const AUTHORIZATION_STARTED: Step = {
  level: "info",
  event: "authorization_started",
  message: "authorization started",
};
const AUTHORIZATION_GRANTED: Step = {
  level: "info",
  event: "authorization_granted",
  message: "authorization granted: code issued",
};
const TOKEN_REVOKED: Step = { level: "info", event: "token_revoked", message: "access token revoked" };
const GRANT_REVOKED: Step = {
  level: "warn",
  event: "grant_revoked",
  message: "grant revoked with its tokens",
};

/** Only words of the protocol are recorded; a client's own values could be anything. */
function grantType(context: KoaContextWithOIDC): string {
  const type = context.oidc.params?.["grant_type"];
  return type === "authorization_code" || type === "refresh_token" ? type : "unknown grant type";
}

/**
 * The engine tells the client little and keeps the detail in `error_detail`. That is a sentence of the engine's or ours, unless it comes
 * from an error below: a parser's quotes the body it read, so of such a one only the kind is told.
 */
function describe(error: unknown): string {
  if (!(error instanceof errors.OIDCProviderError)) return faultOf(error);
  const { error: word, error_detail: detail, error_description: description = "", cause } = error;
  const code = oauthReason(word) === "oauth_error" ? "oauth_error" : word;
  if (cause !== undefined) return `${code} (${cause instanceof Error ? kindOf(cause) : "of another error"})`;
  const [name = ""] = /^[a-z_]+/.exec(description) ?? [];
  const isMetadata = error instanceof errors.InvalidClientMetadata && METADATA_NAMES.has(name);
  if (isMetadata) return `${code} (${name})`;
  return detail === undefined ? code : `${code} (${detail})`;
}

/** `ERR_JWT_EXPIRED` where the error has such a code, else its class. */
function kindOf(error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  return typeof code === "string" && /^[A-Z_]+$/.test(code) ? code : error.name;
}
