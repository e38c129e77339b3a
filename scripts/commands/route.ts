import { hostConfigKey, routeKey } from "@gatehouse/shared/redis-keys";
import { parseHostname } from "@gatehouse/shared/hostname";
import { formatTarget, parseRoute } from "@gatehouse/shared/route";
import { readText } from "@gatehouse/shared/stored-text";
import { routeNameOf, routeValueOf } from "../hosts/host-words.ts";
import { writeRoute } from "../hosts/host-writer.ts";
import { readRoutes } from "../hosts/stored-host.ts";
import { answer, isConfirmed, table } from "./answer.ts";
import type { Command } from "./command.ts";
import { withStore } from "./control-store.ts";
import { defineCommand } from "./define-command.ts";

const NAME_HELP =
  "NAME is a hostname, *.PARENT for exactly one label, or * for everything else; quote the asterisk for the shell.";

const routeList = defineCommand({
  name: "route list",
  words: [],
  summary: "where the dispatcher sends each name",
  options: {},
  about: "Lists every route, wildcards and the default included.",
  examples: ["gatehouse route list"],
  async run({ env, isJson }) {
    const routes = (await withStore(env, readRoutes)).map(({ name, value }) => described(name, value));
    const rows = routes.map(({ name, value, problem }) => [name, value, problem ?? ""]);
    answer(isJson, routes, table(["NAME", "LEADS TO", "PROBLEM"], rows));
  },
});

const routeShow = defineCommand({
  name: "route show",
  words: ["NAME"],
  summary: "one route, target by target",
  options: {},
  about: `Shows one route as the dispatcher reads it. ${NAME_HELP}`,
  examples: ["gatehouse route show simple.example.com"],
  async run({ words, env, isJson }) {
    const name = routeNameOf(words[0]);
    const value = await withStore(env, async (redis) => await readText(redis, routeKey(name)));
    if (value === null) throw new Error(`there is no route ${name}`);
    const route = described(name, value);
    const lines = route.targets.map((target) => `  ${target}`);
    const text = route.problem ?? [`proxy=${route.proxy}`, ...lines].join("\n");
    answer(isJson, route, `${name}: ${value}\n${text}`);
  },
});

const routeSet = defineCommand({
  name: "route set",
  words: ["NAME", "VALUE"],
  summary: "send a name somewhere",
  options: {},
  about: `Writes a route; the dispatcher follows within a second, and open connections go on where they are. A running instance keeps its
address: it does not move with its route. ${NAME_HELP}`,
  examples: [
    "gatehouse route set simple.example.com 13001",
    "gatehouse route set simple.example.com 10.0.0.7:13001,10.0.0.8:13001",
    "gatehouse route set '*.legacy.example.com' '10.0.0.9:443;proxy=off'",
  ],
  async run({ words, env, isJson }) {
    const name = routeNameOf(words[0]);
    const value = routeValueOf(words[1] ?? "");
    const { before, isWritten } = await withStore(env, async (redis) => {
      const from = await readText(redis, routeKey(name));
      return { before: from, isWritten: await writeRoute(redis, { name, from }, value) };
    });
    const text = isWritten
      ? `${name}: ${before ?? "(no route)"} -> ${value}`
      : `${name} leads there already: ${value}`;
    answer(isJson, { name, value, before, is_written: isWritten }, text);
  },
});

const routeRemove = defineCommand({
  name: "route remove",
  words: ["NAME"],
  summary: "refuse a name; open connections go on",
  options: { yes: { describe: "don't ask, where the name has a host config" } },
  about: `Deletes a route: new connections are refused within a second, open ones go on. \`host remove\` ends those too. ${NAME_HELP}`,
  examples: ["gatehouse route remove '*.legacy.example.com'"],
  async run(input) {
    const name = routeNameOf(input.words[0]);
    const isRemoved = await withStore(input.env, async (redis) => {
      const host = parseHostname(name);
      const isHost = host.ok && (await redis.exists(hostConfigKey(host.hostname))) === 1;
      const question = `${name} has a host config: refuse it all the same?`;
      if (isHost && !(await isConfirmed(input.isGiven("yes"), question)))
        throw new Error("nothing was removed");
      return (await redis.del(routeKey(name))) > 0;
    });
    const text = isRemoved ? `route ${name} is removed` : `there is no route ${name}: nothing to remove`;
    answer(input.isJson, { name, removed: isRemoved }, text);
  },
});

/** `gatehouse route …`. */
export const routeCommands: readonly Command[] = [routeList, routeShow, routeSet, routeRemove];

function described(name: string, value: string) {
  const parsed = parseRoute(value);
  return {
    name,
    value,
    targets: parsed.ok ? parsed.route.targets.map(formatTarget) : [],
    proxy: parsed.ok ? parsed.route.proxy : null,
    problem: parsed.ok ? null : parsed.problem,
  };
}
