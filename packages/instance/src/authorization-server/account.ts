import type { Account, KoaContextWithOIDC } from "oidc-provider";
import type { LogRecord } from "@gatehouse/shared/log-record";
import type { GrantedIdentity, Identity } from "../oauth/identity.ts";
import { EngineRequest } from "./engine-exchange.ts";
import type { OAuthStore } from "./oauth-store.ts";
import type { Login } from "./pending-login.ts";
import type { Trace } from "./request-trace.ts";

/** Who a token is made for. `scopes` is set at a refresh: what the person may still have. */
export interface TokenSubject {
  readonly identity: Identity;
  readonly scopes: readonly string[] | undefined;
}

/** The engine's account, with who it is. */
class PersonAccount implements Account {
  [key: string]: unknown;
  readonly accountId: string;
  readonly subject: TokenSubject | undefined;

  constructor(accountId: string, subject: TokenSubject | undefined) {
    this.accountId = accountId;
    this.subject = subject;
  }

  async claims(): Promise<{ sub: string }> {
    return { sub: this.accountId };
  }
}

/**
 * Finds the account behind a code or refresh token, or the login that ends right now; undefined makes the engine answer
 * `invalid_grant`. At a refresh the person is assessed anew under the host config of now, and what is left only narrows.
 */
export async function findAccount(
  options: { store: OAuthStore; login: Pick<Login, "reassess"> },
  uid: string,
  source: { kind?: string; grantId?: string | undefined; context: KoaContextWithOIDC },
): Promise<Account | undefined> {
  const { store, login } = options;
  const { grantId } = source;
  const granted = grantId === undefined ? undefined : await findGranted(store, grantId, source.context);
  if (grantId === undefined || granted === undefined || granted.identity.uid !== uid) return undefined;
  if (source.kind !== "RefreshToken") {
    return new PersonAccount(uid, { identity: granted.identity, scopes: undefined });
  }
  const left = await login.reassess(granted, traceIn(source.context));
  if (left === undefined || left.scopes.length === 0 || left.identity.uid !== uid) return undefined;
  await store.updateIdentity(grantId, { ...left, membershipToken: granted.membershipToken });
  return new PersonAccount(uid, { identity: left.identity, scopes: left.scopes });
}

/** The request, for what is recorded, and the client that asks. */
function traceIn({ req, oidc }: KoaContextWithOIDC): Trace & Pick<LogRecord, "client_id"> {
  const client = oidc.client === undefined ? {} : { client_id: oidc.client.clientId };
  return req instanceof EngineRequest ? { ...req.trace, ...client } : client;
}

async function findGranted(
  store: OAuthStore,
  grantId: string,
  { req }: KoaContextWithOIDC,
): Promise<GrantedIdentity | undefined> {
  const known = req instanceof EngineRequest ? req.granted : undefined;
  return known?.grantId === grantId ? known.identity : await store.findIdentity(grantId);
}

/** Returns who the engine is making tokens for in this request. */
export function accountOf(context: Pick<KoaContextWithOIDC, "oidc"> | undefined): TokenSubject | undefined {
  const account = context?.oidc.account;
  return account instanceof PersonAccount ? account.subject : undefined;
}

/** Returns the claims that differ from what the engine would write: `sub` is the login, `aud` a list. */
export function tokenPayload(
  token: { aud?: string | string[] | undefined },
  subject: TokenSubject | undefined,
): { sub: string; uid: string; aud: string[]; email?: string } {
  if (subject === undefined) throw new Error("an access token is made for a person only");
  const { identity } = subject;
  const aud = token.aud === undefined ? [] : [token.aud].flat();
  return {
    sub: identity.login,
    uid: identity.uid,
    aud,
    ...(identity.email === null ? {} : { email: identity.email }),
  };
}
