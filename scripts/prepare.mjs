// What lies between a fresh clone and running code: pnpm, the dependencies, the pinned Node, the build.
// No dependencies and nothing newer than Node 20, because this runs before anything is installed.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

export const ROOT = resolve(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "..");

/** The oldest Node that runs the code itself, as in `engines` of package.json: type stripping, undici 8. */
const OLDEST_NODE = [22, 19];

/** Silence that is still taken for work: after it a line says how long a step has been running. */
const HEARTBEAT_MS = 20_000;

/** How long another process may prepare the same checkout; a first install on a slow line takes minutes. */
const LOCK_TIMEOUT_MS = 15 * 60_000;

const startedAt = performance.now();

/** A failure that is fully explained by its message. */
export class PrepareError extends Error {}

/** Prints one progress line on stderr, with the seconds since the start. */
export function say(text) {
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1).padStart(6);
  process.stderr.write(`[${seconds} s] ${text}\n`);
}

/**
 * Runs a program from the repository's root with its output passed through; resolves with its exit status.
 * While it is at work a line now and then says so.
 */
export async function run(what, [command, ...args], env = process.env) {
  say(what);
  const since = performance.now();
  const heartbeat = setInterval(() => {
    say(`${what}: still at it after ${Math.round((performance.now() - since) / 1000)} s`);
  }, HEARTBEAT_MS);
  const child = spawn(command, args, { cwd: ROOT, env, stdio: ["ignore", "inherit", "inherit"] });
  const status = await new Promise((settle) => {
    child.once("error", (error) => {
      say(`${command}: ${error.message}`);
      settle(127);
    });
    child.once("exit", (code) => settle(code ?? 1));
  });
  clearInterval(heartbeat);
  return status;
}

async function must(what, command, env) {
  const status = await run(what, command, env);
  if (status !== 0) throw new PrepareError(`${what} failed (${command[0]} ended with ${status})`);
}

/** Installs what the lockfile says and builds; returns the pinned Node and the environment for everything else. */
export async function prepare() {
  mkdirSync(join(ROOT, ".cache"), { recursive: true });
  const unlock = await lock(join(ROOT, ".cache/prepare.lock"));
  try {
    const pnpm = await findPnpm();
    // CI=true: never a question, progress as plain lines. Both belong to pnpm alone.
    const quiet = { ...process.env, CI: "true", PATH: join(pnpm, "..") + delimiter + process.env.PATH };
    await must("installing dependencies", [pnpm, "install", "--frozen-lockfile"], quiet);
    const node = pinnedNode();
    const env = environment(pnpm);
    const turbo = join(ROOT, "node_modules/.bin/turbo");
    await must("building", [turbo, "run", "build", "--output-logs=errors-only"], env);
    return { node, env };
  } finally {
    unlock();
  }
}

/** PATH with the workspace's own programs first (`node` is the pinned one there) and pnpm, which turbo asks for. */
function environment(pnpm) {
  const path = [join(ROOT, "node_modules/.bin"), join(pnpm, ".."), process.env.PATH];
  return {
    ...process.env,
    PATH: path.join(delimiter),
    TURBO_TELEMETRY_DISABLED: "1",
    TURBO_NO_UPDATE_NOTIFIER: "1",
    DO_NOT_TRACK: "1",
  };
}

/** The Node from the lockfile; where the lockfile has none for this system, the one that runs this, if it is new enough. */
export function pinnedNode() {
  const pinned = join(ROOT, `node_modules/node-${process.platform}-${process.arch}/bin/node`);
  if (existsSync(pinned) && spawnSync(pinned, ["--version"]).status === 0) return pinned;
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1]))
    return process.execPath;
  throw new PrepareError(
    `there is no packaged Node for ${process.platform}-${process.arch}, so install Node ` +
      `${OLDEST_NODE.join(".")} or newer yourself (this is ${process.versions.node}) and start this again`,
  );
}

/** pnpm of the pinned major version: from PATH, or installed with npm into `.cache`. */
async function findPnpm() {
  const { packageManager } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const wanted = packageManager.slice("pnpm@".length);
  for (const directory of (process.env.PATH ?? "").split(delimiter)) {
    const candidate = join(directory || ".", "pnpm");
    if (existsSync(candidate) && majorOf(candidate) === wanted.split(".")[0]) return candidate;
  }
  const place = join(ROOT, ".cache/pnpm");
  const own = join(place, "node_modules/.bin/pnpm");
  if (existsSync(own) && majorOf(own) === wanted.split(".")[0]) return own;
  const npm = [
    "npm",
    "install",
    "--prefix",
    place,
    "--no-save",
    "--no-audit",
    "--no-fund",
    "--loglevel=error",
  ];
  await must(`installing pnpm ${wanted} into .cache with npm`, [...npm, `pnpm@${wanted}`]);
  if (majorOf(own) === undefined) throw new PrepareError(`the installed pnpm does not run: ${own} --version`);
  return own;
}

function majorOf(pnpm) {
  // From outside the repository: pnpm would first look for the version that package.json names.
  const { status, stdout } = spawnSync(pnpm, ["--version"], { cwd: "/", encoding: "utf8" });
  return status === 0 ? stdout.trim().split(".")[0] : undefined;
}

/** One process at a time prepares a checkout; a lock whose holder is gone is taken over. Returns the unlock function. */
async function lock(path) {
  const deadline = performance.now() + LOCK_TIMEOUT_MS;
  for (let said = false; ; said = true) {
    try {
      writeFileSync(path, String(process.pid), { flag: "wx" });
      const unlock = () => rmSync(path, { force: true });
      process.once("exit", unlock);
      return unlock;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    const holder = lockHolder(path);
    if (holder === undefined) rmSync(path, { force: true });
    else if (performance.now() > deadline) throw new PrepareError(`process ${holder} still holds ${path}`);
    else if (!said) say(`waiting for process ${holder}, which prepares this checkout`);
    await delay(holder === undefined ? 20 + Math.random() * 50 : 200);
  }
}

function lockHolder(path) {
  try {
    const pid = Number(readFileSync(path, "utf8"));
    if (!Number.isInteger(pid) || pid < 1) return undefined;
    process.kill(pid, 0);
    return pid;
  } catch (error) {
    return error.code === "EPERM" ? "of another user" : undefined;
  }
}
