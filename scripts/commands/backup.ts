import { stat } from "node:fs/promises";
import type { RedisClient } from "@gatehouse/shared/redis-connection";
import { writeStateFile } from "@gatehouse/shared/state-file";
import { backupLines, readBackup, type BackupEntry } from "../backup/backup-file.ts";
import { anyOfOurs, BACKUP_PREFIXES, everyEntry, isOurs, writeEntry } from "../backup/backup-redis.ts";
import { answer, counted } from "./answer.ts";
import { UsageError, type Command } from "./command.ts";
import { withStore } from "./control-store.ts";
import { defineCommand } from "./define-command.ts";

/** Keys written at once: they cost one way to Redis together, and their answers come before its deadline. */
const BATCH = 500;

const NOT_IN_IT = `The secret key (GATEHOUSE_SECRET_KEY) is not in it: without that key, certificates, signing keys and logins under way can't be opened, so keep
it, apart from the backup. What is in it in clear: host configs with their client secrets.`;

const backup = defineCommand({
  name: "backup",
  words: ["FILE"],
  summary: "everything but the traffic record, in one file",
  options: {},
  about: `Writes routes, host configs, certificates, clients, tokens, grants and keys, with their ends, as JSON lines. The file has mode 0600 and is put in
its place when it is whole. Processes may run meanwhile; what changes then may be in it or not.
${NOT_IN_IT}`,
  examples: ["gatehouse backup /root/gatehouse.backup"],
  async run({ words: [file = ""], env, isJson }) {
    const counts = new Map<string, number>();
    async function* countedEntries(redis: RedisClient): AsyncGenerator<BackupEntry> {
      for await (const entry of everyEntry(redis)) {
        count(counts, entry.key);
        yield entry;
      }
    }
    await withStore(env, async (redis) => {
      await writeStateFile(file, backupLines(countedEntries(redis), new Date()));
    });
    const keys = total(counts);
    const text = `${counted(keys, "key")} written to ${file} (${listed(counts)}). The secret key is not in it.`;
    answer(isJson, { file, keys, by_prefix: Object.fromEntries(counts) }, text);
  },
});

const restore = defineCommand<"force">({
  name: "restore",
  words: ["FILE"],
  summary: "put a backup back",
  options: {
    force: { describe: "also where something is stored: what the file holds replaces it, the rest stays" },
  },
  about: `Checks the whole file first, then writes it, routes last, so that nobody is sent to a host that is half there. What has ended meanwhile is left
out. Refuses a place that holds anything of ours, except with --force; may be run again.
${NOT_IN_IT}`,
  examples: ["gatehouse restore /root/gatehouse.backup"],
  async run(input) {
    const [file = ""] = input.words;
    await stat(file).catch((cause: NodeJS.ErrnoException) => {
      throw new UsageError(`${file} can't be read: ${cause.code}`, { cause });
    });
    for await (const { key } of readBackup(file))
      if (!isOurs(key)) throw new Error(`${file} holds ${JSON.stringify(key)}, which is no key of ours`);
    const isForced = input.isGiven("force");
    const { counts, ended } = await withStore(input.env, async (redis) => {
      const found = isForced ? undefined : await anyOfOurs(redis);
      if (found !== undefined)
        throw new Error(`this Redis holds ${found} and maybe more; --force replaces what the file holds`);
      return await restoreAll(redis, file);
    });
    const keys = total(counts);
    const text = `${counted(keys, "key")} restored (${listed(counts)}), ${ended} had ended since. They need the secret key they were made with.`;
    answer(input.isJson, { file, keys, ended, by_prefix: Object.fromEntries(counts) }, text);
  },
});

/** `gatehouse backup` and `gatehouse restore`. */
export const backupCommands: readonly Command[] = [backup, restore];

async function restoreAll(
  redis: RedisClient,
  file: string,
): Promise<{ counts: Map<string, number>; ended: number }> {
  const counts = new Map<string, number>();
  let ended = 0;
  const write = async (entries: readonly BackupEntry[]): Promise<void> => {
    const written = await Promise.all(
      entries.map(async (entry) => await writeEntry(redis, entry, Date.now())),
    );
    for (const [i, { key }] of entries.entries()) {
      if (written[i]) count(counts, key);
      else ended += 1;
    }
  };
  // The file is read again for each kind: whatever order its lines have, and however large it is.
  for (const prefix of BACKUP_PREFIXES) {
    let entries: BackupEntry[] = [];
    for await (const entry of readBackup(file)) {
      if (!entry.key.startsWith(prefix)) continue;
      entries.push(entry);
      if (entries.length < BATCH) continue;
      await write(entries);
      entries = [];
    }
    await write(entries);
  }
  return { counts, ended };
}

function count(counts: Map<string, number>, key: string): void {
  const prefix = BACKUP_PREFIXES.find((ours) => key.startsWith(ours)) ?? "";
  counts.set(prefix, (counts.get(prefix) ?? 0) + 1);
}

function total(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((sum, one) => sum + one, 0);
}

function listed(counts: ReadonlyMap<string, number>): string {
  return [...counts].map(([prefix, keys]) => `${prefix.replace(/:$/, "")} ${keys}`).join(", ") || "nothing";
}
