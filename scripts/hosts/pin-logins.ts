import { githubApiUrlOption } from "@gatehouse/shared/github-place";
import type { HostConfig } from "@gatehouse/shared/host-config";
import type { Hostname } from "@gatehouse/shared/hostname";
import { pinRecordSchema, type PinRecord } from "@gatehouse/shared/pin-record";
import { readConfig, type Environment } from "@gatehouse/shared/read-config";
import type { RedisClient } from "@gatehouse/shared/redis-connection";
import { pinKey } from "@gatehouse/shared/redis-keys";
import { readText } from "@gatehouse/shared/stored-text";

/** GitHub answers in a tenth of it; without a way to it a host is added all the same. */
const LOOK_UP_MS = 5000;

/**
 * Pins every login that the lists of a host name to the account that has it now (contract section 3), so that nobody who takes the name
 * later is meant. Returns what an operator should know: logins that nobody has, that mean somebody else here, or that could not be asked
 * about. Those are pinned by their first login, as they are where nothing was asked. Never rejects for GitHub's sake.
 */
export async function pinLogins(
  redis: RedisClient,
  { hostname, config }: { readonly hostname: Hostname; readonly config: HostConfig },
  env: Environment,
): Promise<string[]> {
  if (!config.auth_enabled || config.identity_provider !== "github") return [];
  const { apiUrl } = readConfig({ apiUrl: githubApiUrlOption }, env);
  const remarks = await Promise.all(
    loginsOf(config).map(async (login) => {
      const uid = await uidOf(apiUrl, login);
      if (uid.startsWith("github:")) return await pin(redis, hostname, { login, uid });
      return `note: ${login} is not pinned to an account yet (${uid}); the first login under that name will pin it`;
    }),
  );
  return remarks.filter((remark) => remark !== "");
}

/** Bare names: what has a prefix or is a star names nobody by login. */
function loginsOf(config: HostConfig): string[] {
  const entries = [
    ...(config.auth_required_users ?? []),
    ...config.oauth_admin_users,
    ...config.oauth_user_users,
    ...config.oauth_mcp_users,
  ];
  const names = entries.filter((entry) => entry !== "*" && !/^(?:id|org|team|email):/.test(entry));
  return [...new Map(names.map((name) => [name.toLowerCase(), name])).values()];
}

/** Returns `github:NUMBER`, or why it is not known. */
async function uidOf(apiUrl: string, login: string): Promise<string> {
  try {
    const response = await fetch(`${apiUrl}/users/${encodeURIComponent(login)}`, {
      headers: { accept: "application/vnd.github+json", "user-agent": "gatehouse" },
      // A redirect would answer for another name.
      redirect: "error",
      signal: AbortSignal.timeout(LOOK_UP_MS),
    });
    if (response.status === 404) return "GitHub knows no such account";
    if (response.status !== 200) return `GitHub answered ${response.status}`;
    // The public profile (GET /users/{username}), of which name and number count.
    const { login: name, id } = (await response.json()) as { login?: unknown; id?: unknown };
    const isMeant = typeof name === "string" && name.toLowerCase() === login.toLowerCase();
    return isMeant && Number.isSafeInteger(id) ? `github:${String(id)}` : "GitHub answered for another name";
  } catch {
    return "GitHub could not be asked";
  }
}

async function pin(
  redis: RedisClient,
  hostname: Hostname,
  { login, uid }: { readonly login: string; readonly uid: string },
): Promise<string> {
  const key = pinKey(hostname, login);
  const record: PinRecord = { hostname, login, uid, pinned_at: Math.floor(Date.now() / 1000) };
  if ((await redis.set(key, JSON.stringify(record), "NX")) === "OK") return "";
  const stored = pinned(await readText(redis, key));
  if (stored === uid) return "";
  return `warning: ${login} is pinned to ${stored ?? "nobody"} here, and is ${uid} at GitHub now, who is refused. DEL ${key} gives the name to its owner of today`;
}

function pinned(text: string | null): string | undefined {
  try {
    return pinRecordSchema.safeParse(JSON.parse(text ?? "")).data?.uid;
  } catch {
    return undefined;
  }
}
