import type { Duplex } from "node:stream";
import type { ForwardContext } from "../identity-headers.ts";
import type { VerifiedToken } from "../oauth/access-token.ts";
import type { BearerProblem } from "../oauth/signed-token.ts";
import type { Response } from "../refusal.ts";
import type { Answer } from "./answer.ts";
import type { RequestHead } from "./request-head.ts";
import type { ResourcePolicy } from "./resource-policy.ts";
import type { MessageRule } from "./scope-rules.ts";

/** An exchange that was let through and is not over. */
export interface OpenExchange {
  readonly head: RequestHead;
  readonly token: VerifiedToken | undefined;
  readonly context: ForwardContext;
  /** It has a body, or is a WebSocket. */
  readonly mayHoldMessage: boolean;
}

/** What a config, or a verdict that came later, has against an exchange that was let through, as far as its head tells. */
export function objection(
  policy: ResourcePolicy,
  { head, token }: OpenExchange,
  verdict: VerifiedToken | BearerProblem | undefined = token,
): Answer | undefined {
  const request = policy.receive(head);
  if ("status" in request) return request;
  if (policy.isExcluded(request.path)) return undefined;
  if (verdict === undefined) return policy.noToken(request);
  const judged = policy.judge(request, verdict);
  return "status" in judged ? judged : undefined;
}

/**
 * True when rules about messages hold for an exchange now that did not under the policy it was let through by: nobody has looked at its
 * messages with those in mind.
 */
export function hasNewRules(
  { now, before }: { readonly now: ResourcePolicy; readonly before: ResourcePolicy },
  exchange: OpenExchange,
): boolean {
  if (!exchange.mayHoldMessage) return false;
  const known = new Set(openRules(before, exchange).map((rule) => JSON.stringify(rule)));
  return openRules(now, exchange).some((rule) => !known.has(JSON.stringify(rule)));
}

function openRules(policy: ResourcePolicy, { head, token }: OpenExchange): readonly MessageRule[] {
  const request = policy.receive(head);
  if ("status" in request || token === undefined || policy.isExcluded(request.path)) return [];
  const judged = policy.judge(request, token);
  return "scopes" in judged ? policy.openRules(request, judged.scopes) : [];
}

/** Whether a response or socket is closed, from before its first await on: a listener that comes later might never be called. */
export class ExchangeLife {
  isOver = false;
  onOver: (() => void) | undefined;

  constructor(exchange: Response | Duplex) {
    exchange.once("close", () => {
      this.isOver = true;
      this.onOver?.();
    });
  }
}
