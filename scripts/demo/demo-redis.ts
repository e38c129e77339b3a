import { readDemoFile } from "./demo-file.ts";
import { runningDemo } from "./demo-pid.ts";
import { REPOSITORY } from "./options.ts";

/** Returns the Redis URL of the demo that runs in this checkout; undefined when none does. */
export async function demoRedisUrl(): Promise<string | undefined> {
  const stateDir = `${REPOSITORY}/.gatehouse`;
  if (runningDemo(stateDir) === undefined) return undefined;
  return (await readDemoFile(stateDir))?.redis_url;
}
