import { execFileSync } from "node:child_process";
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Bed, Place } from "./bed.ts";
import type { Fault } from "./fault.ts";

/** Holds what a run writes ten times over, and is full in a moment. */
const MIB = 16;
const CHUNK = Buffer.alloc(64 * 1024);

/** A file system of its own, in memory. */
class Disk {
  readonly path: string;
  readonly #filler: string;

  private constructor(path: string) {
    this.path = path;
    this.#filler = join(path, "filler");
  }

  static async mount(): Promise<Disk> {
    const path = await mkdtemp("/tmp/gatehouse-disk-");
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${MIB}m`, "tmpfs", path]);
    return new Disk(path);
  }

  /** Writes until there is no room for one octet more. */
  fill(): void {
    const file = openSync(this.#filler, "w");
    try {
      for (let size = CHUNK.length; size > 0;) {
        try {
          writeSync(file, CHUNK, 0, size);
        } catch {
          size >>= 1;
        }
      }
    } finally {
      closeSync(file);
    }
  }

  /** Makes room again. */
  empty(): void {
    rmSync(this.#filler);
  }

  async unmount(): Promise<void> {
    execFileSync("umount", ["-l", this.path]);
    await rm(this.path, { recursive: true, force: true });
  }
}

const disks = new WeakMap<Bed, Disk>();

/** What a fault is made of whose bed stands on a disk of its own, which fills up. `afterwards` is what else ends it, once there is room. */
export function fullDisk(
  placeOn: (disk: Disk) => Promise<Place>,
  afterwards: (bed: Bed) => Promise<void> = async () => undefined,
): Pick<Fault, "missing" | "place" | "inject"> {
  return {
    missing: () => (process.getuid?.() === 0 ? undefined : "a file system of its own needs root"),
    place: async () => {
      const disk = await Disk.mount();
      return {
        ...(await placeOn(disk)),
        finish: async (bed) => void disks.set(bed, disk),
        leave: () => disk.unmount(),
      };
    },
    inject: async (bed) => {
      const disk = disks.get(bed);
      if (disk === undefined) throw new Error("this bed has no disk of its own");
      disk.fill();
      return async () => {
        disk.empty();
        await afterwards(bed);
      };
    },
  };
}
