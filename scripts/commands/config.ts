import { writeStateFile } from "@gatehouse/shared/state-file";
import { formatConfigFile, parseConfigFile } from "../config-file/config-file.ts";
import {
  carryOut,
  entriesOf,
  planOf,
  readEverything,
  type ConfigChange,
  type ConfigPlan,
} from "../config-file/config-plan.ts";
import { hostRunner } from "../hosts/host-runner.ts";
import { answer, counted, isConfirmed, remark } from "./answer.ts";
import type { Command } from "./command.ts";
import { withStore } from "./control-store.ts";
import { defineCommand } from "./define-command.ts";
import { givenFile } from "./given-file.ts";

const SIGNS: Readonly<Record<ConfigChange["kind"], string>> = { add: "+", change: "~", remove: "-" };

const configExport = defineCommand<"secrets">({
  name: "config export",
  words: ["[FILE]"],
  summary: "every host's route and config, as one JSON file",
  options: { secrets: { describe: "with client secrets and headers that carry credentials" } },
  about: `Writes routes and host configs, sorted, so that the file can be kept under version control; to stdout without FILE. A FILE has mode 0600.
Where a secret was left out it says {"$secret":"kept"}, and \`config apply\` keeps the one that is stored.`,
  examples: ["gatehouse config export hosts.json"],
  async run(input) {
    const entries = entriesOf(await withStore(input.env, readEverything));
    const text = formatConfigFile(entries, { hasSecrets: input.isGiven("secrets") });
    const [file] = input.words;
    if (file === undefined) {
      process.stdout.write(input.isJson ? `${JSON.stringify(JSON.parse(text))}\n` : text);
      return;
    }
    await writeStateFile(file, text);
    answer(
      input.isJson,
      { file, names: entries.size },
      `${counted(entries.size, "name")} written to ${file}`,
    );
  },
});

const configApply = defineCommand<"dry-run" | "yes" | "prune" | "no-start">({
  name: "config apply",
  words: ["FILE"],
  summary: "make all hosts as a file says, after showing the difference",
  options: {
    "dry-run": { describe: "show the difference, write nothing" },
    yes: { describe: "don't ask" },
    prune: { describe: "remove hosts and routes that the file does not name" },
    "no-start": { describe: "leave processes alone" },
  },
  about: `Checks the whole file, shows what differs, asks, and writes it: host config before route, removals in the reverse order and last. A part
that an entry does not have is left as it is. May be run again at any time.`,
  examples: [
    "gatehouse config apply hosts.json --dry-run",
    "gatehouse config apply hosts.json --yes --prune",
  ],
  async run(input) {
    const entries = parseConfigFile(givenFile(input.words[0] ?? ""));
    const isPruned = input.isGiven("prune");
    await withStore(input.env, async (redis) => {
      const plan = planOf(entries, await readEverything(redis), { isPruned });
      answer(input.isJson, shown(plan), differences(plan));
      if (!isPruned && plan.others.length > 0)
        remark(`not in the file, and left alone without --prune: ${plan.others.join(", ")}`);
      if (plan.changes.length === 0 || input.isGiven("dry-run")) return;
      const question = `Write ${counted(plan.changes.length, "change")}?`;
      if (!(await isConfirmed(input.isGiven("yes"), question))) throw new Error("nothing was written");
      await carryOut(redis, plan);
      remark(`${counted(plan.changes.length, "change")} written`);
      if (!input.isGiven("no-start")) await followWithProcesses(plan);
    });
  },
});

/** `gatehouse config …`. */
export const configCommands: readonly Command[] = [configExport, configApply];

function shown({ changes }: ConfigPlan): object[] {
  return changes.map(({ name, kind, lines }) => ({ name, change: kind, lines }));
}

function differences({ changes }: ConfigPlan): string {
  if (changes.length === 0) return "nothing to change";
  const blocks = changes.map(({ name, kind, lines }) =>
    [`${SIGNS[kind]} ${name}`, ...lines.map((line) => `    ${line}`)].join("\n"),
  );
  return blocks.join("\n");
}

async function followWithProcesses({ changes }: ConfigPlan): Promise<void> {
  const runner = await hostRunner();
  for (const { hostname, kind, document, stored, route } of changes) {
    if (hostname === undefined) continue;
    if (kind === "remove" && stored.config !== null) remark(await runner.stop(hostname));
    // A route without a host config leads to a server that is no instance of ours.
    if (kind === "add" && document !== undefined && route !== undefined)
      remark(await runner.start(hostname, route));
  }
}
