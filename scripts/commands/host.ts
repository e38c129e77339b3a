import { parseHostConfig, type HostConfigParse } from "@gatehouse/shared/host-config";
import { describeProblem, type ConfigProblem } from "@gatehouse/shared/config-error";
import { parseRoute } from "@gatehouse/shared/route";
import { documentProblems } from "../hosts/document-rules.ts";
import { sharedAppWarning } from "../hosts/github-app.ts";
import {
  changedFields,
  checkDocument,
  parseDocument,
  withoutSecrets,
  type HostDocument,
} from "../hosts/host-document.ts";
import { hostRunner } from "../hosts/host-runner.ts";
import { FIELD_OPTIONS, fieldsOf, hostnameOf, type FieldOption } from "../hosts/host-words.ts";
import { removeHost, writeConfig } from "../hosts/host-writer.ts";
import { purgeHost } from "../hosts/purge.ts";
import { refuseWrongType } from "../hosts/refuse-wrong-type.ts";
import { readHost, readHosts, type StoredHost } from "../hosts/stored-host.ts";
import { answer, counted, isConfirmed, jsonText, remark, table } from "./answer.ts";
import { UsageError, type Command } from "./command.ts";
import { withStore } from "./control-store.ts";
import { defineCommand } from "./define-command.ts";
import { hostAdd } from "./host-add.ts";

const hostList = defineCommand({
  name: "host list",
  words: [],
  summary: "every host: where it leads, whether it is protected, what is wrong",
  options: {},
  about: "Lists every hostname that has a route or a host config.",
  examples: ["gatehouse host list"],
  async run({ env, isJson }) {
    const hosts = (await withStore(env, readHosts)).map(summary);
    const rows = hosts.map(({ hostname, route, target_url, auth, state }) => [
      hostname,
      route ?? "(no route)",
      target_url ?? "(no config)",
      auth === null ? "?" : auth ? "protected" : "open",
      state,
    ]);
    answer(isJson, hosts, table(["HOST", "ROUTE", "TARGET", "AUTH", "STATE"], rows));
  },
});

const hostShow = defineCommand({
  name: "host show",
  words: ["HOST"],
  summary: "a host's config and route, without its secrets",
  options: { defaults: { describe: "with the defaults filled in" } },
  about: "Shows what is stored for one hostname, and every problem of it. Secrets are left out.",
  examples: ["gatehouse host show simple.example.com --defaults"],
  async run(input) {
    const hostname = hostnameOf(input.words[0]);
    const host = await withStore(input.env, async (redis) => await readHost(redis, hostname));
    if (host.config === null && host.route === null) throw new Error(`there is no host ${hostname}`);
    const parsed = host.config === null ? undefined : parseHostConfig(host.config);
    const written = host.config === null ? undefined : parseDocument(host.config);
    const document = input.isGiven("defaults") && parsed?.ok ? parsed.config : written;
    const config = document === undefined ? null : withoutSecrets(document);
    const { state } = summary(host);
    const problems = problemsOf(parsed).map(describeProblem);
    answer(
      input.isJson,
      { hostname, route: host.route, state, problems, config },
      [
        `${hostname}: ${state}`,
        `route: ${host.route ?? "(none)"}`,
        `config: ${jsonText(config, 2)}`,
        ...problems.map((problem) => `problem: ${problem}`),
      ].join("\n"),
    );
  },
});

const hostSet = defineCommand<FieldOption | "unset" | "dry-run">({
  name: "host set",
  words: ["HOST"],
  summary: "change fields of a host's config",
  options: {
    ...FIELD_OPTIONS,
    unset: { value: "NAME", describe: "back to the default; may be repeated" },
    "dry-run": { describe: "show the change, write nothing" },
  },
  about:
    "Changes what is given, leaves the rest, and shows the change. Instances follow within a second and drop no stream.",
  examples: [
    "gatehouse host set simple.example.com --set maintenance=true",
    "gatehouse host set simple.example.com --unset maintenance --require octocat,org:example",
  ],
  async run(input) {
    const hostname = hostnameOf(input.words[0]);
    const fields = fieldsOf(input);
    const unset = input.texts("unset");
    if (Object.keys(fields).length + unset.length === 0) throw new UsageError("host set: which field?");
    const changes = await withStore(input.env, async (redis) => {
      const stored = await readHost(redis, hostname);
      if (stored.config === null) throw new Error(`there is no host ${hostname}; \`host add\` makes one`);
      refuseWrongType(stored.config);
      const before = parseDocument(stored.config) ?? {};
      const kept = Object.entries({ ...before, ...fields }).filter(([name]) => !unset.includes(name));
      const after: HostDocument = Object.fromEntries(kept);
      const config = checkDocument(hostname, after, before);
      const warning = sharedAppWarning(stored, config, await readHosts(redis));
      if (warning !== undefined) remark(warning);
      if (!input.isGiven("dry-run")) await writeConfig(redis, stored, after);
      return changedFields(before, after);
    });
    const isWritten = changes.length > 0 && !input.isGiven("dry-run");
    const text =
      changes.length === 0 ? `${hostname}: nothing to change` : [hostname, ...changes].join("\n  ");
    answer(input.isJson, { hostname, is_written: isWritten, changes }, text);
  },
});

const hostRemove = defineCommand({
  name: "host remove",
  words: ["HOST"],
  summary: "take a hostname off the internet; its streams end at once",
  options: {
    yes: { describe: "don't ask" },
    purge: { describe: "also its clients, tokens, grants, keys, pinned logins and certificate" },
    "no-stop": { describe: "leave processes alone" },
  },
  about: `Deletes route:HOST, which refuses new connections, then proxy:HOST, which ends open streams, and stops the instance where systemd
runs it. What people granted stays for a host that is added again; --purge deletes it for good.`,
  examples: ["gatehouse host remove simple.example.com --yes"],
  async run(input) {
    const hostname = hostnameOf(input.words[0]);
    const isPurge = input.isGiven("purge");
    const question = `Remove ${hostname}${isPurge ? " and everything that was ever stored for it" : ""}?`;
    if (!(await isConfirmed(input.isGiven("yes"), question))) throw new Error("nothing was removed");
    const removed = await withStore(input.env, async (redis) => ({
      ...(await removeHost(redis, hostname)),
      purged: isPurge ? await purgeHost(redis, hostname) : 0,
    }));
    const isGone = !removed.hadRoute && !removed.hadConfig && removed.purged === 0;
    const next =
      isGone || input.isGiven("no-stop")
        ? "No process was touched"
        : await (await hostRunner()).stop(hostname);
    answer(
      input.isJson,
      { hostname, removed: !isGone, purged_keys: removed.purged, next },
      isGone
        ? `there is no host ${hostname}: nothing to remove`
        : `${hostname} is removed${isPurge ? `, with ${counted(removed.purged, "record")}` : ""}\n${next}`,
    );
  },
});

const hostRestart = defineCommand({
  name: "host restart",
  words: ["HOST"],
  summary: "start a host's instance anew",
  options: {},
  about:
    "Restarts the instance by its systemd unit, whose socket holds new connections meanwhile; elsewhere says what to do. A changed config needs no restart.",
  examples: ["gatehouse host restart simple.example.com"],
  async run({ words, env, isJson }) {
    const hostname = hostnameOf(words[0]);
    const host = await withStore(env, async (redis) => await readHost(redis, hostname));
    if (host.config === null) throw new Error(`there is no host ${hostname}`);
    const next = await (await hostRunner()).restart(hostname);
    answer(isJson, { hostname, next }, next);
  },
});

/** `gatehouse host …`. */
export const hostCommands: readonly Command[] = [
  hostAdd,
  hostList,
  hostShow,
  hostSet,
  hostRemove,
  hostRestart,
];

function summary({ hostname, route, config }: StoredHost) {
  const parsed = config === null ? undefined : parseHostConfig(config);
  const document = parsed?.ok ? parsed.config : undefined;
  return {
    hostname,
    route,
    target_url: document?.target_url ?? null,
    auth: document?.auth_enabled ?? null,
    state: stateOf(route, parsed),
  };
}

function problemsOf(parsed: HostConfigParse | undefined): readonly ConfigProblem[] {
  if (parsed === undefined) return [];
  return parsed.ok ? documentProblems(parsed.config) : parsed.problems;
}

function stateOf(route: string | null, parsed: HostConfigParse | undefined): string {
  if (parsed?.ok === false) return `bad config: ${parsed.problems.map(({ key }) => key).join(", ")}`;
  if (route !== null && !parseRoute(route).ok) return "bad route";
  // The dispatcher may lead to a TLS server that is no instance of ours, which needs no config.
  if (parsed === undefined) return "no host config";
  if (route === null) return "no route";
  if (!parsed.config.enabled) return "disabled";
  return parsed.config.maintenance ? "maintenance" : "ok";
}
