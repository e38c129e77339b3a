import { hashSecret, isSecretHash } from "@gatehouse/shared/client-record";
import { EXTRA_CLIENT_METADATA } from "./client-policy.ts";
import { CLIENT_AUTH_METHODS, GRANT_TYPES } from "./protocol.ts";

/** Metadata that is registered (RFC 7591 section 2); everything else in a request is ignored, as the RFC wants. */
const REGISTERED = [
  "redirect_uris",
  "token_endpoint_auth_method",
  "token_endpoint_auth_signing_alg",
  "grant_types",
  "response_types",
  "client_name",
  "jwks_uri",
  "jwks",
  ...EXTRA_CLIENT_METADATA,
] as const;

/** Only shown to people, so a bad one is left out rather than the client turned away. */
const WEB_PAGES = ["client_uri", "logo_uri", "tos_uri", "policy_uri"] as const;

/** Names of metadata that records may repeat when they say what was wrong with a registration. */
export const METADATA_NAMES: ReadonlySet<string> = new Set([...REGISTERED, ...WEB_PAGES]);

/** What an answer shows of a client, beside the registered metadata (RFC 7591 section 3.2.1, RFC 7592 section 3). */
const ANSWERED = [
  "client_id",
  "client_id_issued_at",
  "client_secret",
  "client_secret_expires_at",
  "application_type",
  "registration_access_token",
  "registration_client_uri",
  ...REGISTERED,
  ...WEB_PAGES,
] as const;

/**
 * Returns a registration or update as the engine shall see it. Clients register more than they need (`device_code`, `scope`,
 * `null` members) and stop when that is refused; RFC 7591 section 2 lets the server replace or drop values, and says so in the
 * answer. What would change who the client is (redirect URIs) is never dropped in silence.
 */
export function clientMetadata(request: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const metadata: Record<string, unknown> = {};
  for (const name of REGISTERED) {
    if (!isAbsent(request[name])) metadata[name] = request[name];
  }
  for (const name of WEB_PAGES) {
    if (isWebPage(request[name])) metadata[name] = request[name];
  }
  metadata["grant_types"] = supported(request["grant_types"], GRANT_TYPES) ?? [...GRANT_TYPES];
  metadata["response_types"] = ["code"];
  const method = request["token_endpoint_auth_method"];
  if (!isAbsent(method) && !CLIENT_AUTH_METHODS.some((known) => known === method)) {
    metadata["token_endpoint_auth_method"] = "client_secret_basic";
  }
  // Only a client that signs its assertions has an algorithm for them; the engine refuses one beside any other method.
  if (metadata["token_endpoint_auth_method"] !== "private_key_jwt")
    delete metadata["token_endpoint_auth_signing_alg"];
  return metadata;
}

/** Returns an update (RFC 7592 section 2.2) as the engine shall see it; what must not be there is kept for the engine to refuse. */
export function clientUpdate(request: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const update = clientMetadata(request);
  for (const name of [
    "client_id",
    "registration_access_token",
    "registration_client_uri",
    "client_id_issued_at",
  ]) {
    if (!isAbsent(request[name])) update[name] = request[name];
  }
  // The engine knows the hash only, and compares.
  const secret = request["client_secret"];
  if (typeof secret === "string" && secret !== "") update["client_secret"] = hashSecret(secret);
  return update;
}

/**
 * Returns what a client is told about its registration: no member that is null, no hash, and as `scope` everything that can be
 * granted here, whatever it asked for.
 */
export function registrationAnswer(
  answer: Readonly<Record<string, unknown>>,
  scopes: readonly string[],
): Record<string, unknown> {
  const shown: Record<string, unknown> = {};
  for (const name of ANSWERED) {
    if (!isAbsent(answer[name])) shown[name] = answer[name];
  }
  const secret = shown["client_secret"];
  if (typeof secret !== "string" || isSecretHash(secret)) delete shown["client_secret"];
  if (shown["client_secret"] === undefined) delete shown["client_secret_expires_at"];
  return scopes.length === 0 ? shown : { ...shown, scope: scopes.join(" ") };
}

/** Some clients write null or an empty text for what they do not have. */
function isAbsent(value: unknown): boolean {
  return value === undefined || value === null || value === "";
}

function isWebPage(value: unknown): boolean {
  return typeof value === "string" && /^https?:\/\//i.test(value) && URL.canParse(value);
}

/** Returns the known ones of a list; undefined when none is left, or it is no list. */
function supported(values: unknown, known: readonly string[]): string[] | undefined {
  const kept = Array.isArray(values) ? known.filter((one) => (values as unknown[]).includes(one)) : [];
  if (kept.length === 0) return undefined;
  // The engine needs it for response_types code; refresh alone could never start.
  return kept.includes("authorization_code") ? kept : ["authorization_code", ...kept];
}
