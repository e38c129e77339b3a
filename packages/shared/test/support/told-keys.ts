import { TrackedKeys } from "../../src/redis-tracking.ts";

interface ToldKeysOptions {
  readonly url: string;
  readonly prefixes?: readonly string[];
}

/** Makes a follower, not yet started, that notes in `told` what its callbacks say, in order: `armed`, `lost`, `all`, or a key. */
export function toldKeys(told: string[], { url, prefixes = ["route:"] }: ToldKeysOptions): TrackedKeys {
  return new TrackedKeys({
    url,
    clientName: "test",
    prefixes,
    onArmed: () => told.push("armed"),
    onInvalidated: (keys) => told.push(...(keys === "all" ? ["all"] : keys)),
    onLost: () => told.push("lost"),
  });
}
