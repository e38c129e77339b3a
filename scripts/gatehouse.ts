// `scripts/gatehouse <noun> <verb>`: what operators type. Exit 0, 1 (failed), 2 (usage), 78 (configuration).
import { ConfigError, EXIT_CONFIG } from "@gatehouse/shared/config-error";
import { backupCommands } from "./commands/backup.ts";
import { certificateCommands } from "./commands/certificate.ts";
import { UsageError, type Command } from "./commands/command.ts";
import { completionCommand } from "./commands/completion.ts";
import { configCommands } from "./commands/config.ts";
import { hostCommands } from "./commands/host.ts";
import { doctor } from "./commands/doctor.ts";
import { keyDerive } from "./commands/key-derive.ts";
import { keyRotate } from "./commands/key-rotate.ts";
import { logCommands } from "./commands/log.ts";
import { oauthCommands } from "./commands/oauth.ts";
import { routeCommands } from "./commands/route.ts";
import { status } from "./commands/status.ts";

const COMMANDS: readonly Command[] = [
  status,
  doctor,
  ...hostCommands,
  ...routeCommands,
  ...oauthCommands,
  ...certificateCommands,
  keyRotate,
  keyDerive,
  ...configCommands,
  ...backupCommands,
  ...logCommands,
  completionCommand(() => COMMANDS),
];
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

function overview(commands: readonly Command[] = COMMANDS): string {
  const lines = commands.map(({ name, summary }) => `  gatehouse ${name.padEnd(24)} ${summary}`);
  return ["Usage: gatehouse <noun> <verb> [arguments] [--json] [--help]", "", ...lines, ""].join("\n");
}

async function run(words: readonly string[]): Promise<void> {
  const [noun = "", verb = ""] = words;
  if (noun === "" || noun === "--help" || noun === "help") {
    process.stdout.write(overview());
    if (noun === "") throw new UsageError("which command?");
    return;
  }
  const ofNoun = COMMANDS.filter(({ name }) => name.startsWith(`${noun} `));
  if (verb === "--help" && ofNoun.length > 0) {
    process.stdout.write(overview(ofNoun));
    return;
  }
  const command = COMMANDS.find(({ name }) => name === noun || name === `${noun} ${verb}`);
  // Of a noun that exists only its verbs are told.
  if (!command)
    throw new UsageError(
      `no command "${[noun, verb].join(" ").trim()}".\n\n${overview(ofNoun.length > 0 ? ofNoun : COMMANDS)}`,
    );
  const args = words.slice(command.name.split(" ").length);
  if (args.includes("--help")) process.stdout.write(`${command.help}\n`);
  else await command.run(args, process.env);
}

function exitStatus(error: unknown): number {
  if (error instanceof UsageError) return EXIT_USAGE;
  return error instanceof ConfigError ? EXIT_CONFIG : EXIT_FAILED;
}

try {
  await run(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = exitStatus(error);
}
