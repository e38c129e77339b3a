// `scripts/redis [COMMAND]`: redis-cli on the server of REDIS_URL, else on that of a running demo.
import { spawnSync } from "node:child_process";
import { findRedis } from "@gatehouse/testbed/redis-program";
import { demoRedisUrl } from "./demo/demo-redis.ts";
import { cliArguments, splitWords } from "./redis-command.ts";

async function serverUrl(): Promise<string> {
  const url = process.env["REDIS_URL"] || (await demoRedisUrl());
  if (url === undefined) throw new Error("REDIS_URL is not set and no demo runs: which server?");
  return url;
}

try {
  const place = cliArguments(await serverUrl());
  if (place === undefined)
    throw new Error("a Redis URL is redis://, rediss://, unix:///path or redis+cluster://");
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
