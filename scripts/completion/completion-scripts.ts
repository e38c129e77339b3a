import type { Command } from "../commands/command.ts";

/** Returns the script for bash. */
export function bashCompletion(commands: readonly Command[]): string {
  return `# Completion of gatehouse for bash.
_gatehouse() {
  local current=\${COMP_WORDS[COMP_CWORD]} noun=\${COMP_WORDS[1]-} verb=\${COMP_WORDS[2]-} words=
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="${nouns(commands).join(" ")}"
  else
    case "$noun" in
${nouns(commands)
  .map((noun) => bashNoun(noun, commands))
  .join("\n")}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _gatehouse gatehouse
`;
}

/** Returns the script for zsh, good to be sourced and to lie in fpath. */
export function zshCompletion(commands: readonly Command[]): string {
  return `#compdef gatehouse
# Completion of gatehouse for zsh.
_gatehouse() {
  local noun=$words[2] verb=$words[3]
  if (( CURRENT == 2 )); then
    compadd -- ${nouns(commands).join(" ")}
    return
  fi
  case $noun in
${nouns(commands)
  .map((noun) => zshNoun(noun, commands))
  .join("\n")}
  esac
  [[ $words[CURRENT] == -* ]] || _files
}
if [[ $funcstack[1] == _gatehouse ]]; then _gatehouse "$@"; else compdef _gatehouse gatehouse; fi
`;
}

/** Returns the script for fish. */
export function fishCompletion(commands: readonly Command[]): string {
  const lines = nouns(commands).flatMap((noun) => {
    const own = commands.filter(({ name }) => nounOf(name) === noun);
    const summary =
      own.length === 1 ? (own[0]?.summary ?? "") : own.map(({ name }) => verbOf(name)).join(", ");
    return [
      `complete -c gatehouse -n __fish_use_subcommand -a ${noun} -d ${quoted(summary)}`,
      ...own.flatMap((command) => fishCommand(command, own)),
    ];
  });
  return ["# Completion of gatehouse for fish.", ...lines, ""].join("\n");
}

function bashNoun(noun: string, commands: readonly Command[]): string {
  const whole = commands.find(({ name }) => name === noun);
  if (whole !== undefined) return `      ${noun}) words="${offered(whole)}" ;;`;
  const own = commands.filter(({ name }) => nounOf(name) === noun);
  const verbs = own.map((command) => `            ${verbOf(command.name)}) words="${offered(command)}" ;;`);
  return `      ${noun})
        if [ "$COMP_CWORD" -eq 2 ]; then
          words="${own.map(({ name }) => verbOf(name)).join(" ")}"
        else
          case "$verb" in
${verbs.join("\n")}
          esac
        fi ;;`;
}

function zshNoun(noun: string, commands: readonly Command[]): string {
  const whole = commands.find(({ name }) => name === noun);
  if (whole !== undefined) return `    ${noun}) compadd -- ${offered(whole)} ;;`;
  const own = commands.filter(({ name }) => nounOf(name) === noun);
  const verbs = own.map((command) => `        ${verbOf(command.name)}) compadd -- ${offered(command)} ;;`);
  return `    ${noun})
      if (( CURRENT == 3 )); then
        compadd -- ${own.map(({ name }) => verbOf(name)).join(" ")}
        return
      fi
      case $verb in
${verbs.join("\n")}
      esac ;;`;
}

function fishCommand(command: Command, siblings: readonly Command[]): string[] {
  const noun = nounOf(command.name);
  const verb = verbOf(command.name);
  const others = siblings.map(({ name }) => verbOf(name)).join(" ");
  const before = `__fish_seen_subcommand_from ${noun}`;
  const lines: string[] = [];
  if (verb !== "")
    lines.push(
      `complete -c gatehouse -f -n '${before}; and not __fish_seen_subcommand_from ${others}' -a ${verb} -d ${quoted(command.summary)}`,
    );
  const behind = verb === "" ? before : `${before}; and __fish_seen_subcommand_from ${verb}`;
  for (const choice of command.choices ?? [])
    lines.push(`complete -c gatehouse -f -n '${behind}' -a ${choice}`);
  for (const option of command.options)
    lines.push(`complete -c gatehouse -n '${behind}' -l ${option.slice("--".length)}`);
  return lines;
}

/** What may stand behind the verb. Names of options and choices hold nothing that a shell would take for its own. */
function offered({ options, choices = [] }: Command): string {
  return [...choices, ...options].join(" ");
}

function nouns(commands: readonly Command[]): string[] {
  return [...new Set(commands.map(({ name }) => nounOf(name)))];
}

function nounOf(name: string): string {
  return name.split(" ")[0] ?? "";
}

function verbOf(name: string): string {
  return name.split(" ")[1] ?? "";
}

function quoted(text: string): string {
  return `'${text.replaceAll(/['\\]/g, "\\$&")}'`;
}
