/** How long things last, in seconds (contract section 3). Every one is an option. */
export interface Lifetimes {
  /** From the start of an authorization to the code. */
  readonly pendingLogin: number;
  readonly code: number;
  readonly accessToken: number;
  /** A refresh token's own, anew with each successor. */
  readonly refreshToken: number;
  /** A grant and its whole family of refresh tokens, from the login on. */
  readonly grant: number;
  /** How long a refresh token that was used gives the same successor again. */
  readonly refreshGrace: number;
  /** A client after its last use. */
  readonly client: number;
  /** A client that was never used. */
  readonly unusedClient: number;
}

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export const DEFAULT_LIFETIMES: Lifetimes = {
  pendingLogin: 10 * MINUTE,
  code: MINUTE,
  accessToken: 30 * MINUTE,
  refreshToken: 60 * DAY,
  grant: 365 * DAY,
  refreshGrace: 30,
  client: 90 * DAY,
  unusedClient: DAY,
};
