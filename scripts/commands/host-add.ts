import { join } from "node:path";
import type { HostConfig } from "@gatehouse/shared/host-config";
import type { RedisClient } from "@gatehouse/shared/redis-connection";
import type { Hostname } from "@gatehouse/shared/hostname";
import { usableSocketPath } from "@gatehouse/shared/listen-address";
import { readConfig, textOption } from "@gatehouse/shared/read-config";
import { sharedAppWarning } from "../hosts/github-app.ts";
import {
  changedFields,
  checkDocument,
  parseDocument,
  withoutSecrets,
  type HostDocument,
} from "../hosts/host-document.ts";
import { hostRunner } from "../hosts/host-runner.ts";
import { FIELD_OPTIONS, fieldsOf, hostnameOf, routeValueOf, type FieldOption } from "../hosts/host-words.ts";
import { pinLogins } from "../hosts/pin-logins.ts";
import { writeConfig, writeRoute } from "../hosts/host-writer.ts";
import { claimPort } from "../hosts/port-claims.ts";
import { refuseWrongType } from "../hosts/refuse-wrong-type.ts";
import { readHost, readHosts, type StoredHost } from "../hosts/stored-host.ts";
import { answer, remark } from "./answer.ts";
import { UsageError } from "./command.ts";
import { withStore } from "./control-store.ts";
import { defineCommand, type CommandInput } from "./define-command.ts";

const options = {
  socketDir: textOption({
    env: "GATEHOUSE_SOCKET_DIR",
    describe: "Directory of the sockets between dispatcher and instances.",
    expected: "an absolute path",
    fallback: "/run/gatehouse",
    parse: (text) => (text.startsWith("/") ? text : undefined),
  }),
};

type AddOption = FieldOption | "route" | "port" | "replace" | "no-start";
type Input = CommandInput<AddOption>;

/** `gatehouse host add`: host config, then route, then its process. */
export const hostAdd = defineCommand<AddOption>({
  name: "host add",
  words: ["HOST"],
  summary: "put a hostname on the internet: its config, its route, its process",
  options: {
    ...FIELD_OPTIONS,
    route: { value: "VALUE", describe: "where its instance listens, as in docs/storage.md" },
    port: { describe: "a port of its own from 13000 to 13999 instead of a socket" },
    replace: { describe: "also when the host exists with another config or route" },
    "no-start": { describe: "leave processes alone" },
  },
  about: `Writes proxy:HOST, then route:HOST, and starts the instance where systemd runs our units; elsewhere it prints the line that does.
Without --route or --port the instance listens on a unix socket in GATEHOUSE_SOCKET_DIR (/run/gatehouse).
Logins in its lists are pinned to the GitHub accounts that have them now (GITHUB_API_URL); who can't be asked about is pinned by the first login.
Run it again after a failure: what is there already is left as it is.`,
  examples: [
    "gatehouse host add simple.example.com --target http://127.0.0.1:3000",
    "gatehouse host add simple-oauth.example.com --target http://127.0.0.1:3000 --auth --require '*' --admin octocat --set github_client_id=Iv1.0123 --set github_client_secret=@/root/secret",
  ],
  async run(input) {
    const hostname = hostnameOf(input.words[0]);
    if (input.isGiven("port") && input.isGiven("route")) throw new UsageError("--port or --route, not both");
    const document = fieldsOf(input);
    const config = checkDocument(hostname, document);
    const given = input.text("route");
    if (given !== undefined) routeValueOf(given);
    const added = await withStore(input.env, async (redis) => {
      const warning = sharedAppWarning({ hostname }, config, await readHosts(redis));
      if (warning !== undefined) remark(warning);
      return await addHost(redis, input, { hostname, document, config });
    });
    const started = input.isGiven("no-start")
      ? "No process was touched"
      : await (await hostRunner()).start(hostname, added.route);
    const what = added.is_changed ? "is added" : "was there already, nothing changed";
    answer(
      input.isJson,
      { hostname, ...added, config: withoutSecrets(document), next: started },
      `${hostname} ${what}: ${added.route} -> ${config.target_url}\n${started}`,
    );
  },
});

async function addHost(
  redis: RedisClient,
  input: Input,
  {
    hostname,
    document,
    config,
  }: { readonly hostname: Hostname; readonly document: HostDocument; readonly config: HostConfig },
): Promise<{ route: string; is_changed: boolean }> {
  const stored = await readHost(redis, hostname);
  refuseWrongType(stored.config, stored.route);
  if (!input.isGiven("replace")) refuseOther(stored, document, input.text("route"));
  const route = await chooseRoute(redis, input, stored);
  // Before anybody can log in.
  for (const text of await pinLogins(redis, { hostname, config }, input.env)) remark(text);
  // In this order: a route whose instance knows no config would answer 404 for a moment.
  const isConfigWritten = await writeConfig(redis, stored, document);
  const isRouteWritten = await writeRoute(redis, { name: hostname, from: stored.route }, route);
  return { route, is_changed: isConfigWritten || isRouteWritten };
}

/** Adding twice must not undo what `host set` did in between. */
function refuseOther({ hostname, config, route }: StoredHost, document: HostDocument, given?: string): void {
  const differences =
    config === null ? [] : changedFields(parseDocument(config) ?? { "(document)": "not JSON" }, document);
  if (route !== null && given !== undefined && route !== given)
    differences.push(`route: ${route} -> ${given}`);
  if (differences.length === 0) return;
  throw new Error(
    `${hostname} exists and differs; \`host set\` changes it, --replace replaces it:\n${differences.map((line) => `  ${line}`).join("\n")}`,
  );
}

async function chooseRoute(
  redis: RedisClient,
  input: Input,
  { hostname, route }: StoredHost,
): Promise<string> {
  const given = input.text("route");
  if (given !== undefined) return given;
  // A bare port is kept also with --port, so that running the command again is no move.
  const isKept = route !== null && (input.isGiven("port") ? /^\d+$/.test(route) : !input.isGiven("replace"));
  if (isKept) return route;
  if (input.isGiven("port")) return String(await claimPort(redis, hostname, Date.now()));
  const { socketDir } = readConfig(options, input.env);
  return `unix:${usableSocketPath(join(socketDir, `${hostname}.sock`))}`;
}
