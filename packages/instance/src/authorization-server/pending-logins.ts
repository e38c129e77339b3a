import type { Interaction } from "oidc-provider";
import { revokeGrant } from "@gatehouse/shared/oauth-revocation";
import { isDocumentClientId } from "../oauth/client-id.ts";
import { checkRedirectUri } from "../oauth/redirect-uri.ts";
import type { Engine } from "./engine.ts";
import { nowSeconds, type OAuthStore } from "./oauth-store.ts";
import {
  PendingLoginGone,
  type LoginOutcome,
  type LoginRefusal,
  type PendingLogin,
  type PendingLogins,
} from "./pending-login.ts";
import { REQUESTED_SCOPE } from "./protocol.ts";
import { INTERACTION_COOKIE } from "./provider.ts";

/** The engine's interactions, as the login sees them. */
export class EngineLogins implements PendingLogins {
  readonly #engine: Engine;
  readonly #store: OAuthStore;
  readonly #schemes: readonly string[];

  constructor(options: { engine: Engine; store: OAuthStore; redirectSchemes: readonly string[] }) {
    this.#engine = options.engine;
    this.#store = options.store;
    this.#schemes = options.redirectSchemes;
  }

  async find(uid: string, cookies: string | undefined): Promise<PendingLogin | undefined> {
    if (!hasCookie(cookies, uid)) return undefined;
    const interaction = await this.#pending(uid);
    return interaction && (await this.#describe(interaction));
  }

  async finish(uid: string, outcome: LoginOutcome): Promise<string> {
    const interaction = await this.#pending(uid);
    const pending = interaction && (await this.#describe(interaction));
    if (interaction === undefined || pending === undefined) throw new PendingLoginGone();
    const { provider } = this.#engine;
    const { identity, scopes, membershipToken } = outcome;
    const grant = new provider.Grant({ accountId: identity.uid, clientId: pending.client.id });
    for (const resource of pending.resources) grant.addResourceScope(resource, scopes.join(" "));
    const grantId = await grant.save();
    await this.#store.saveIdentity(grantId, { identity, membershipToken, checkedAt: nowSeconds() });
    // A client that was deleted in this instant did not see the grant on its list.
    if ((await provider.Client.find(pending.client.id)) === undefined) {
      await revokeGrant(this.#store.redis, grantId);
      throw new PendingLoginGone();
    }
    return await settle(interaction, {
      login: { accountId: identity.uid, remember: false },
      consent: { grantId },
    });
  }

  async refuse(uid: string, refusal: LoginRefusal): Promise<string> {
    const interaction = await this.#pending(uid);
    if (interaction === undefined) throw new PendingLoginGone();
    return await settle(interaction, { error: refusal.error, error_description: refusal.description });
  }

  /** An interaction that was finished already is gone for the login, although the browser may not have come back yet. */
  async #pending(uid: string): Promise<Interaction | undefined> {
    const interaction = await this.#engine.provider.Interaction.find(uid);
    return interaction?.result === undefined ? interaction : undefined;
  }

  async #describe({ uid, params }: Interaction): Promise<PendingLogin | undefined> {
    const client = await this.#engine.provider.Client.find(String(params["client_id"]));
    if (client === undefined) return undefined;
    const redirectUri = String(params["redirect_uri"]);
    const check = checkRedirectUri(redirectUri, this.#schemes);
    const requested = params[REQUESTED_SCOPE];
    return {
      uid,
      client: {
        id: client.clientId,
        name: client.clientName,
        uri: client.clientUri,
        isMetadataDocument: isDocumentClientId(client.clientId),
      },
      redirectUri,
      redirectHost: check.ok ? check.host : redirectUri,
      isLoopbackOnly: (client.redirectUris ?? []).every((uri) => {
        const one = checkRedirectUri(uri, this.#schemes);
        return one.ok && one.kind === "loopback";
      }),
      requestedScopes: typeof requested === "string" ? requested.split(" ") : undefined,
      resources: [params["resource"]].flat().filter((resource) => typeof resource === "string"),
    };
  }
}

async function settle(interaction: Interaction, result: Interaction["result"]): Promise<string> {
  const left = interaction.exp - nowSeconds();
  if (left <= 0) throw new PendingLoginGone();
  interaction.result = result;
  await interaction.save(left);
  return interaction.returnTo;
}

/** True when the browser holds the cookie that was set when this authorization began. */
function hasCookie(cookies: string | undefined, uid: string): boolean {
  return (cookies ?? "").split(";").some((cookie) => cookie.trim() === `${INTERACTION_COOKIE}=${uid}`);
}
