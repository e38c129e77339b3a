import type { EventEmitter } from "node:events";
import type { Provider } from "oidc-provider";
import type { KoaContextWithOIDC } from "oidc-provider";
import type { RecordLog, LogRecord } from "@gatehouse/shared/log-record";
import type { SigningKeyRing } from "../oauth/signing-key.ts";
import { accountOf } from "./account.ts";
import { EngineRequest, EngineResponse, type EngineCall, type PageProblem } from "./engine-exchange.ts";
import { buildProvider, type ProviderOptions } from "./provider.ts";

export interface EngineOptions extends ProviderOptions {
  readonly keys: SigningKeyRing;
  readonly log: RecordLog;
}

/** What the engine made of a call. */
export interface EngineAnswer {
  readonly response: EngineResponse;
  /** Set when a person should be shown why, instead of the response. */
  readonly problem: PageProblem | undefined;
}

/** Something failed that is not the request's fault: Redis, the identity provider, a fault of ours. Nothing was issued. */
class EngineFailure extends Error {
  override readonly name = "EngineFailure";
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

  /** @throws {EngineFailure} */
  async call(call: Omit<EngineCall, "host">): Promise<EngineAnswer> {
    const request = new EngineRequest({ ...call, host: this.#host });
    const response = new EngineResponse(request);
    await this.#handle(request, response);
    // A browser that the engine could send back to its client is sent back, with `server_error`.
    if (request.failure !== undefined && !response.hasHeader("location")) {
      throw new EngineFailure("the authorization server failed", { cause: request.failure });
    }
    return { response, problem: request.pageProblem };
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
    on("server_error", (context, error) => {
      if (context.req instanceof EngineRequest) context.req.failure = error;
      this.#record(context, { level: "error", event: "oauth_failed", message: `failed: ${describe(error)}` });
    });
    emitter.on("error", (error: unknown, context: KoaContextWithOIDC | undefined) => {
      if (context?.req instanceof EngineRequest) context.req.failure = error;
    });
    on("registration_create.success", (context) => this.#record(context, CLIENT_REGISTERED));
    on("registration_update.success", (context) => this.#record(context, CLIENT_CHANGED));
    on("registration_delete.success", (context) => this.#record(context, CLIENT_DELETED));
    for (const step of ["create", "read", "update", "delete"]) {
      on(`registration_${step}.error`, (context, error) =>
        this.#record(context, {
          level: "warn",
          event: "client_refused",
          message: `registration refused: ${describe(error)}`,
        }),
      );
    }
    on("interaction.started", (context) => this.#record(context, AUTHORIZATION_STARTED));
    on("authorization.success", (context) => this.#record(context, AUTHORIZATION_GRANTED));
    on("authorization.error", (context, error) =>
      this.#record(context, {
        level: "warn",
        event: "authorization_refused",
        message: `authorization refused: ${describe(error)}`,
      }),
    );
    on("grant.success", (context) =>
      this.#record(context, {
        level: "info",
        event: "token_issued",
        message: `token issued: ${grantType(context)}`,
      }),
    );
    on("grant.error", (context, error) =>
      this.#record(context, {
        level: "warn",
        event: "token_refused",
        message: `token refused: ${grantType(context)}: ${describe(error)}`,
      }),
    );
    on("grant.revoked", (context) => this.#record(context, GRANT_REVOKED));
    provider.on("access_token.destroyed", (token) =>
      this.#write({
        level: "info",
        event: "token_revoked",
        message: "access token revoked",
        client_id: token.clientId ?? "",
      }),
    );
    return provider;
  }

  /** One record per step, with what the engine knows by then about who and for whom. */
  #record(context: KoaContextWithOIDC, step: Step): void {
    const { client } = context.oidc;
    const subject = accountOf(context);
    const scope = context.oidc.entities.AccessToken?.scope;
    this.#write({
      ...step,
      ...(context.req instanceof EngineRequest ? context.req.trace : {}),
      ...(client === undefined ? {} : { client_id: client.clientId }),
      ...(subject === undefined ? {} : { user: subject.identity.login, uid: subject.identity.uid }),
      ...(scope === undefined ? {} : { scopes: scope.split(" ") }),
    });
  }

  #write(fields: Omit<LogRecord, "time" | "component">): void {
    const { log, store } = this.#options;
    log.write({ time: Date.now(), component: "oauth", hostname: store.hostname, ...fields });
  }
}

type Step = Pick<LogRecord, "level" | "event"> & { readonly message: string };

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

/** The engine tells the client little and keeps the detail in `error_detail`. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { message, error_detail: detail } = error as Error & { error_detail?: unknown };
  return typeof detail === "string" ? `${message} (${detail})` : message;
}
