import type { HostContext } from "./endpoints.ts";
import type { Identity } from "../oauth/identity.ts";
import type { LogRecord, RecordLog } from "@gatehouse/shared/log-record";

/** What happened to one login; the rest of its record is found in the request. */
export interface LoginStep {
  readonly level: LogRecord["level"];
  readonly event: LogRecord["event"];
  readonly message: string;
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

  /** `c` is undefined for what happens at a refresh, which the token endpoint records with the peer's address. */
  write(c: HostContext | undefined, step: LoginStep): void {
    const { level, event, message, clientId, identity, scopes } = step;
    this.#log.write({
      time: Date.now(),
      level,
      component: "oauth",
      event,
      message,
      hostname: this.#hostname,
      ...(c === undefined ? {} : trace(c)),
      ...(clientId === undefined ? {} : { client_id: clientId }),
      ...(identity === undefined ? {} : { user: identity.login, uid: identity.uid }),
      ...(scopes === undefined ? {} : { scopes }),
    });
  }
}

function trace({ env: { context } }: HostContext): Pick<LogRecord, "ip" | "conn" | "req"> {
  return { ip: context.connection.addresses.source.ip, conn: context.connection.id, req: context.id };
}
