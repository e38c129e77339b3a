import type { RedisClient } from "@gatehouse/shared/redis-connection";
import {
  firstOf,
  LIMIT_OPTION,
  limitOf,
  SELECTION_OPTIONS,
  selectionOf,
  type SelectionOption,
} from "../grants/selection-words.ts";
import type { Selection } from "../grants/oauth-records.ts";
import { answer, counted, isConfirmed, jsonText, remark, table } from "./answer.ts";
import { UsageError, type Command } from "./command.ts";
import { withStore } from "./control-store.ts";
import { defineCommand } from "./define-command.ts";

/** What the verbs of client, token and grant have in common. */
export interface RecordKind<Item> {
  readonly noun: "client" | "token" | "grant";
  /** How the help names an id. */
  readonly idWord: string;
  readonly heading: readonly string[];
  /** Cells of one line, in the order of the heading. */
  readonly cells: (item: Item) => readonly string[];
  /** Without secrets and hashes. */
  readonly shown: (item: Item) => object;
  readonly read: (redis: RedisClient, selection: Selection) => AsyncIterable<Item>;
  readonly find: (redis: RedisClient, id: string) => Promise<Item | undefined>;
  readonly details: (redis: RedisClient, item: Item) => Promise<object>;
  readonly revoke: (redis: RedisClient, item: Item) => Promise<unknown>;
  /** What has no record of this kind, and may be revoked by its id all the same; how many that were. */
  readonly revokeUnrecorded?: (redis: RedisClient, id: string) => Promise<number>;
  /** What revoking means, for the help. */
  readonly consequence: string;
}

/** Returns list, show and revoke of one kind. */
export function recordCommands<Item>(kind: RecordKind<Item>): readonly Command[] {
  return [listCommand(kind), showCommand(kind), revokeCommand(kind)];
}

function listCommand<Item>(kind: RecordKind<Item>): Command {
  const { noun } = kind;
  return defineCommand<SelectionOption | "limit">({
    name: `${noun} list`,
    words: [],
    summary: `${noun}s, of a host, a user or a client`,
    options: { ...SELECTION_OPTIONS, ...LIMIT_OPTION },
    about: `Lists ${noun}s. Secrets are not stored, and their hashes are not shown.`,
    examples: [`gatehouse ${noun} list --hostname simple-oauth.example.com --user octocat`],
    async run(input) {
      const selection = selectionOf(input);
      const limit = limitOf(input);
      const { taken, hasMore } = await withStore(
        input.env,
        async (redis) => await firstOf(kind.read(redis, selection), limit),
      );
      const rows = taken
        .map((item) => kind.cells(item))
        .sort((one, other) => (one.join(" ") < other.join(" ") ? -1 : 1));
      answer(
        input.isJson,
        taken.map((item) => kind.shown(item)),
        table(kind.heading, rows),
      );
      if (hasMore) remark(`there are more than ${limit}; narrow it down, or raise --limit`);
    },
  });
}

function showCommand<Item>(kind: RecordKind<Item>): Command {
  const { noun, idWord } = kind;
  return defineCommand({
    name: `${noun} show`,
    words: [idWord],
    summary: `one ${noun}, without its secrets`,
    options: {},
    about: `Shows what is stored of one ${noun}, and what hangs on it. Secrets are not stored, and their hashes are not shown.`,
    examples: [`gatehouse ${noun} show ${idWord}`],
    async run({ words: [id = ""], env, isJson }) {
      const shown = await withStore(env, async (redis) => {
        const item = await kind.find(redis, id);
        if (item === undefined) throw new Error(`there is no such ${noun} (any more): ${JSON.stringify(id)}`);
        return { ...kind.shown(item), ...(await kind.details(redis, item)) };
      });
      answer(isJson, shown, jsonText(shown, 2));
    },
  });
}

function revokeCommand<Item>(kind: RecordKind<Item>): Command {
  const { noun, idWord } = kind;
  return defineCommand<SelectionOption | "yes">({
    name: `${noun} revoke`,
    words: [`[${idWord}]`],
    summary: `end a ${noun}, or all of a host, a user or a client`,
    options: { ...SELECTION_OPTIONS, yes: { describe: "don't ask, where several may be meant" } },
    about: `${kind.consequence} Running instances follow within a second. What is gone already is no failure.`,
    examples: [`gatehouse ${noun} revoke ${idWord}`, `gatehouse ${noun} revoke --user octocat --yes`],
    async run(input) {
      const selection = selectionOf(input);
      const [id] = input.words;
      const isSelected = Object.keys(selection).length > 0;
      if ((id === undefined) !== isSelected)
        throw new UsageError(`${noun} revoke: either an id, or one of --hostname, --user, --client`);
      const revoked = await withStore(input.env, async (redis) => {
        if (id !== undefined) return await revokeOne(redis, kind, id);
        const { taken } = await firstOf(kind.read(redis, selection), Number.POSITIVE_INFINITY);
        const question = `Revoke ${counted(taken.length, noun)}?`;
        if (taken.length === 0) return 0;
        if (!(await isConfirmed(input.isGiven("yes"), question))) throw new Error("nothing was revoked");
        for (const item of taken) await kind.revoke(redis, item);
        return taken.length;
      });
      answer(
        input.isJson,
        { revoked },
        revoked === 0 ? `no such ${noun} (any more): nothing to revoke` : `${counted(revoked, noun)} revoked`,
      );
    },
  });
}

async function revokeOne<Item>(redis: RedisClient, kind: RecordKind<Item>, id: string): Promise<number> {
  const item = await kind.find(redis, id);
  if (item === undefined) return (await kind.revokeUnrecorded?.(redis, id)) ?? 0;
  await kind.revoke(redis, item);
  return 1;
}
