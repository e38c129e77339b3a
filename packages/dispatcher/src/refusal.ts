import { alertFor, badRequest, type RefusalReason as TlsRefusalReason } from "./tls-alert.ts";

/** The reason words of the record; also the label of the refusal counter. */
export type RefusalReason = TlsRefusalReason | "bad_proxy_header";

/** Thrown by any step of a connection; caught at the one place that answers the peer and writes the record. */
export class ConnectionRefusal extends Error {
  readonly reason: RefusalReason;
  /** For `not_tls`: the bytes were an HTTP request, whose sender can read an answer. */
  readonly isPlainHttp: boolean;

  /** `problem` is for the operator and must not quote what the peer sent. */
  constructor(reason: RefusalReason, problem = "", options: { readonly isPlainHttp?: boolean } = {}) {
    super(problem);
    this.name = "ConnectionRefusal";
    this.reason = reason;
    this.isPlainHttp = options.isPlainHttp ?? false;
  }
}

/** What a refused peer is sent before the connection is closed. */
export interface RefusalAnswer {
  readonly bytes: Buffer | undefined;
  /** How the record names it. */
  readonly label: string;
}

/** Nothing that the sender could understand can be said. */
const SILENCE: RefusalAnswer = { bytes: undefined, label: "closed" };
const PLAIN_BAD_REQUEST: RefusalAnswer = { bytes: badRequest, label: "status 400" };

/** One reason, one answer: an alert, a plain 400 to an HTTP request, or nothing. */
export function answerTo({ reason, isPlainHttp }: ConnectionRefusal): RefusalAnswer {
  if (isPlainHttp) return PLAIN_BAD_REQUEST;
  // A sender that owes a PROXY header is a balancer, not the TLS peer behind it.
  const alert = reason === "bad_proxy_header" ? undefined : alertFor(reason);
  return alert ? { bytes: alert.bytes, label: `alert ${alert.description}` } : SILENCE;
}
