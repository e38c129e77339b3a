import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

/** What the benchmark runs, and the Debian package that brings it. */
const NEEDED: readonly { readonly file: string; readonly debian: string }[] = [
  { file: "/usr/sbin/haproxy", debian: "haproxy" },
  { file: "/usr/sbin/nginx", debian: "nginx" },
  { file: "/usr/lib/nginx/modules/ngx_stream_module.so", debian: "libnginx-mod-stream" },
  { file: "/usr/sbin/sniproxy", debian: "sniproxy" },
  { file: "/usr/bin/gcc", debian: "gcc" },
  { file: "/usr/include/openssl/ssl.h", debian: "libssl-dev" },
  { file: "/usr/include/stdio.h", debian: "libc6-dev" },
  { file: "/usr/bin/taskset", debian: "util-linux" },
];

/** Services that Debian starts when it installs the package; ours run with configurations of their own. */
const SERVICES = ["haproxy", "nginx", "sniproxy"];

/** Returns the packages that are missing. */
export function missingPackages(isThere: (file: string) => boolean = existsSync): readonly string[] {
  return NEEDED.filter(({ file }) => !isThere(file)).map(({ debian }) => debian);
}

export function installLine(packages: readonly string[]): string {
  return `apt-get install -y --no-install-recommends ${packages.join(" ")}`;
}

/** Installs packages and stops the services that came with them. @throws when apt-get fails */
export function installPackages(packages: readonly string[]): void {
  const script = `apt-get update && ${installLine(packages)}`;
  const { status } = spawnSync("sh", ["-c", script], { stdio: "inherit", env: aptEnvironment() });
  if (status !== 0) throw new Error(`could not install; as root: ${installLine(packages)}`);
  for (const service of SERVICES.filter((name) => packages.includes(name)))
    spawnSync("systemctl", ["disable", "--now", service], { stdio: "ignore" }); // without systemd nothing was started
}

function aptEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
}

/** Returns the version a program says it has, for the report. */
export function versionOf(program: string, args: readonly string[]): string {
  const { stdout, stderr } = spawnSync(program, args, { encoding: "utf8" });
  return /\d+\.\d+[\w.+~-]*/.exec(`${stdout}${stderr}`)?.[0] ?? "unknown";
}
