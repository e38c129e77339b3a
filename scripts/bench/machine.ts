import { execFileSync } from "node:child_process";
import { cpus, release, totalmem } from "node:os";
import { versionOf } from "./debian-peers.ts";
import { REPOSITORY } from "../demo/options.ts";

/** Where and with what the figures were taken. */
export interface Machine {
  readonly [fact: string]: string;
}

export function describeMachine(): Machine {
  const all = cpus();
  return {
    cores: `${all.length} x ${all[0]?.model.trim() ?? "unknown"}`,
    memory: `${Math.round(totalmem() / 1024 ** 3)} GiB`,
    kernel: release(),
    node: process.versions.node,
    openssl: process.versions.openssl,
    haproxy: versionOf("haproxy", ["-v"]),
    nginx: versionOf("nginx", ["-v"]),
    sniproxy: versionOf("sniproxy", ["-V"]),
    commit: commit(),
  };
}

function commit(): string {
  try {
    return execFileSync("git", ["-C", REPOSITORY, "rev-parse", "--short", "HEAD"], {
      encoding: "utf8",
    }).trim();
  } catch {
    return "unknown"; // not a checkout
  }
}
