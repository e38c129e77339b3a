import type { AcmeChallenge, AcmeChallengeType } from "@gatehouse/shared/acme-challenge";
import type { Hostname } from "@gatehouse/shared/hostname";
import type { KeyPair } from "@gatehouse/shared/certificate";
import type { Account } from "./account.ts";

/** What the thread of an order is given. */
export interface OrderInput {
  readonly hostname: Hostname;
  readonly directoryUrl: string;
  /** PEM roots of the authority's own certificate; undefined: the public ones. */
  readonly roots: string | undefined;
  readonly email: string;
  readonly challengeType: AcmeChallengeType;
  /** Undefined: one is registered. */
  readonly account: Account | undefined;
  /** Names the certificate that this one takes the place of (RFC 9773 section 4.1). */
  readonly replaces: string | undefined;
}

/** What has to be stored before the thread goes on: it waits for {@link GO_ON}. */
export type OrderStep =
  | { readonly kind: "account"; readonly account: Account }
  | { readonly kind: "challenge"; readonly challenge: AcmeChallenge };

/** How it ended. */
export type OrderResult =
  | { readonly kind: "issued"; readonly pair: KeyPair }
  | {
      readonly kind: "failed";
      readonly reason: string;
      /** What the authority asked to wait, milliseconds. */
      readonly retryAfterMs: number | undefined;
      /** The authority has forgotten the account. */
      readonly isAccountUnknown: boolean;
    };

export const GO_ON = "go-on";
