/** Who logged in, as the identity provider says. `uid` is the identity; everything else about a person may change. */
export interface Identity {
  /** The provider's immutable id: `github:583231`, `oidc:<sub>`. */
  readonly uid: string;
  /** The name the traffic record shows; never what access is keyed on. */
  readonly login: string;
  /** Null when the provider does not tell, as for many. */
  readonly email: string | null;
  readonly emailVerified: boolean;
  /** Only filled when a list of the host config names one. */
  readonly organisations: readonly string[];
  /** As `organisation/slug`; only filled when a list names one. */
  readonly teams: readonly string[];
}

/** The identity behind a grant, as it is kept for the grant's refreshes. */
export interface GrantedIdentity {
  readonly identity: Identity;
  /** What the identity provider is asked with about memberships; only kept where a list names some. */
  readonly membershipToken: string | undefined;
  /** Unix seconds: when organisations and teams were last asked for. */
  readonly checkedAt: number;
}
