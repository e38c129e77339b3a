import type { HostContext } from "./endpoints.ts";
import type { Identity } from "../oauth/identity.ts";
import type { LogRecord, RecordLog } from "@gatehouse/shared/log-record";
import { traceOf, type Trace } from "./request-trace.ts";

/** What happened to one login; the rest of its record is found in the request. */
export interface LoginStep {
  readonly level: LogRecord["level"];
  readonly event: LogRecord["event"];
  readonly message: string;
  /** Of a refusal. */
  readonly reason?: string | undefined;
  readonly clientId?: string | undefined;
  readonly identity?: Pick<Identity, "login" | "uid"> | undefined;
  readonly scopes?: readonly string[];
}

/** Writes one record for each step of a login (contract section 6). */
export class LoginLog {
  readonly #log: RecordLog;
  readonly #hostname: string;

  constructor(log: RecordLog, hostname: string) {
    this.#log = log;
    this.#hostname = hostname;
  }

  /** `of`: the request, or what the engine knows of it. */
  write(of: HostContext | Trace, step: LoginStep): void {
    const { level, event, message, reason, clientId, identity, scopes } = step;
    this.#log.write({
      time: Date.now(),
      level,
      component: "oauth",
      event,
      message,
      hostname: this.#hostname,
      ...("env" in of ? traceOf(of) : of),
      ...(reason === undefined ? {} : { reason }),
      ...(clientId === undefined ? {} : { client_id: clientId }),
      ...(identity === undefined ? {} : { user: identity.login, uid: identity.uid }),
      ...(scopes === undefined ? {} : { scopes }),
    });
  }
}
