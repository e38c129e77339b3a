import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/**
 * Octets of buffers that something still refers to. A collection frees what it found on another thread, which on a busy machine
 * takes its time: this waits until the figure falls no more.
 */
export async function heldBufferBytes(): Promise<number> {
  let held = Number.POSITIVE_INFINITY;
  for (;;) {
    collect();
    await sleep(50);
    const { arrayBuffers } = process.memoryUsage();
    if (arrayBuffers >= held) return held;
    held = arrayBuffers;
  }
}
