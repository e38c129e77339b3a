import { arch, cpus, release, totalmem } from "node:os";

/** Returns on what kind of machine this runs, in a line. */
export function describeMachine(): string {
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${cpus().length} cores, ${memory} GiB, Linux ${release().split("-")[0]} ${arch()}, Node ${process.versions.node}`;
}
