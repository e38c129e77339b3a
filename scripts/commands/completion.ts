import { bashCompletion, fishCompletion, zshCompletion } from "../completion/completion-scripts.ts";
import { UsageError, type Command } from "./command.ts";
import { defineCommand } from "./define-command.ts";

const SHELLS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const;

/** `gatehouse completion SHELL`: a script made from the commands themselves. `commands` may hold this very command. */
export function completionCommand(commands: () => readonly Command[]): Command {
  return defineCommand({
    name: "completion",
    words: ["SHELL"],
    summary: "a script that completes commands in bash, zsh or fish",
    options: {},
    choices: Object.keys(SHELLS),
    isLocal: true,
    about: `Prints a script that makes the shell complete nouns, verbs and options. It is made from the commands that this version has: print it anew
after an update.`,
    examples: [
      "gatehouse completion bash > /etc/bash_completion.d/gatehouse",
      'gatehouse completion zsh > "${fpath[1]}/_gatehouse"',
      "gatehouse completion fish > ~/.config/fish/completions/gatehouse.fish",
    ],
    async run({ words: [shell = ""], isJson }) {
      if (!Object.hasOwn(SHELLS, shell))
        throw new UsageError(
          `completion takes one of ${Object.keys(SHELLS).join(", ")}; got ${JSON.stringify(shell)}`,
        );
      const script = SHELLS[shell as keyof typeof SHELLS](commands());
      process.stdout.write(isJson ? `${JSON.stringify({ shell, script })}\n` : script);
    },
  });
}
