// `scripts/redis [COMMAND]`: redis-cli on the server of REDIS_URL, else on that of a running demo.
import { spawnSync } from "node:child_process";
import { findRedis } from "@gatehouse/testbed/redis-program";
import { readDemoFile } from "./demo/demo-file.ts";
import { runningDemo } from "./demo/demo-pid.ts";
import { REPOSITORY } from "./demo/options.ts";
import { cliArguments, splitWords } from "./redis-command.ts";

async function serverUrl(): Promise<string> {
  const configured = process.env["REDIS_URL"];
  if (configured) return configured;
  const stateDir = `${REPOSITORY}/.gatehouse`;
  const demo = runningDemo(stateDir) === undefined ? undefined : await readDemoFile(stateDir);
  if (demo === undefined) throw new Error("REDIS_URL is not set and no demo runs: which server?");
  return demo.redis_url;
}

try {
  const place = cliArguments(await serverUrl());
  if (place === undefined) throw new Error("a Redis URL is redis://, rediss:// or unix:///path");
  const { cli, environment } = await findRedis();
  if (cli === undefined) throw new Error("there is a Redis server on PATH but no redis-cli beside it");
  const { args, password } = place;
  const words = process.argv.slice(2);
  const command = words.length === 1 ? splitWords(words[0] ?? "") : words;
  const { status } = spawnSync(cli, [...args, ...command], {
    stdio: "inherit",
    // Not as an argument, which every user of the machine could read.
    env: { ...process.env, ...environment, ...(password === undefined ? {} : { REDISCLI_AUTH: password }) },
  });
  process.exitCode = status ?? 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
