// `node scripts/run.mjs demo | demo-stop | test | check | nspawn | faults | flood | soak | audit | mutation`: the README's commands, from a fresh clone, with only Node and npm.
import { spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pinnedNode, prepare, PrepareError, ROOT, run, say } from "./prepare.mjs";

const OLDEST_LAUNCHER_NODE = 20;

const PARENT_WATCH_MS = 500;

/** Besides the tests, what a change must pass; each counts as one in the closing line. */
const CHECKS = [
  { what: "typecheck", program: ["turbo", "run", "typecheck", "--output-logs=errors-only"] },
  { what: "lint (oxlint)", program: ["oxlint", "--type-aware", "--deny-warnings"] },
  { what: "format (oxfmt)", program: ["oxfmt", "--check"] },
  { what: "unused code (knip)", program: ["knip", "--no-progress"] },
  { what: "licences and advisories", program: ["node", "scripts/supply-chain/main.ts"] },
];

const commands = { demo, "demo-stop": demoStop, test, check, nspawn, faults, flood, soak, audit, mutation };

async function demo(args) {
  const { node, env } = await prepare();
  return await handOver(node, [join(ROOT, "scripts/demo/main.ts"), ...args], env);
}

async function demoStop(args) {
  if (!existsSync(join(ROOT, "node_modules"))) return (say("nothing is installed here, so no demo runs"), 0);
  return await handOver(pinnedNode(), [join(ROOT, "scripts/demo/stop.ts"), ...args], process.env);
}

/** Closes with one line, `N passed, N failed`: tests and checks together. What could not even start counts as one failure. */
async function test(args) {
  return await withVerdict(async ({ node, env }, total) => {
    await runChecks(env, total);
    const redis = await run("finding Redis", [node, join(ROOT, "scripts/find-redis.ts")], env);
    if (redis === 0) add(total, await runJest(node, args, env));
    else total.failed++;
  });
}

/** Units, installer and restarts in a real systemd; see deploy/nspawn/main.ts. */
async function nspawn() {
  const { node, env } = await prepare();
  return await handOver(node, [join(ROOT, "deploy/nspawn/main.ts")], env);
}

/** Faults across process boundaries, under load; see deploy/fault-injection/main.ts. */
async function faults(args) {
  return await deployProgram("fault-injection", args);
}

/** Honest traffic while hostile connections pour in; see deploy/flood/main.ts. */
async function flood(args) {
  return await deployProgram("flood", args);
}

/** Mixed traffic for hours, with restarts and changes; see deploy/soak/main.ts. */
async function soak(args) {
  return await deployProgram("soak", args);
}

async function deployProgram(directory, args) {
  const { node, env } = await prepare();
  const main = join(ROOT, "deploy", directory, "main.ts");
  return await handOver(node, ["--conditions=source", main, ...args], env);
}

/** What we depend on; see scripts/supply-chain. */
async function audit() {
  const { node, env } = await prepare();
  return await handOver(node, [join(ROOT, "scripts/supply-chain/main.ts")], env);
}

/** Whether the tests would notice; see docs/mutation.md. */
async function mutation(args) {
  const { node, env } = await prepare();
  return await handOver(node, [join(ROOT, "scripts/mutation/main.ts"), ...args], env);
}

async function check() {
  return await withVerdict(({ env }, total) => runChecks(env, total));
}

async function withVerdict(work) {
  const total = { passed: 0, failed: 0 };
  try {
    await work(await prepare(), total);
  } catch (error) {
    if (!(error instanceof PrepareError)) throw error;
    say(error.message);
    total.failed++;
  }
  process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`);
  return total.failed === 0 ? 0 : 1;
}

async function runChecks(env, total) {
  const plain = process.stdout.isTTY ? env : { ...env, NO_COLOR: "1" };
  for (const { what, program } of CHECKS) {
    const [name, ...args] = program;
    const status = await run(what, [join(ROOT, "node_modules/.bin", name), ...args], plain);
    if (status !== 0) say(`${what} FAILED`);
    add(total, status === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 });
  }
}

function add(total, { passed, failed }) {
  total.passed += passed;
  total.failed += failed;
}

async function runJest(node, args, env) {
  const results = join(ROOT, ".cache/jest-results.json");
  rmSync(results, { force: true });
  const jest = [
    node,
    "--experimental-vm-modules",
    "--disable-warning=ExperimentalWarning",
    join(ROOT, "node_modules/jest/bin/jest.js"),
  ];
  // The counts come from the results file, so that exactly one line with them ends the output.
  const report = ["--reporters=default", "--json", `--outputFile=${results}`];
  // A server that the tests share, because its owner says so, is used by one test file at a time.
  const inBand = env.GATEHOUSE_TEST_REDIS_URL ? ["--runInBand"] : [];
  const status = await run("tests (jest)", [...jest, ...report, ...inBand, ...args], env);
  if (!existsSync(results)) return { passed: 0, failed: 1 };
  const counts = JSON.parse(readFileSync(results, "utf8"));
  if (counts.numPendingTests > 0) say(`${counts.numPendingTests} tests skipped on this machine`);
  const failed = counts.numFailedTests + counts.numRuntimeErrorTestSuites;
  // Jest also fails for other reasons than a test: nothing found, a broken teardown.
  return { passed: counts.numPassedTests, failed: failed === 0 && status !== 0 ? 1 : failed };
}

/**
 * Runs a program of the repository in the foreground and passes signals on. It also learns, through a channel that the
 * kernel closes, when this process is killed in a way that cannot be passed on.
 */
async function handOver(command, args, env) {
  const child = spawn(command, args, { env, stdio: ["inherit", "inherit", "inherit", "ipc"] });
  // A terminal sends Ctrl-C to the child as well; hearing of it twice does no harm there.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  // npm passes no signal through its shell; what is seen of its end is that this process has other ancestors.
  // Without npm that means nothing: `node scripts/run.mjs demo &` may be orphaned on purpose.
  const ancestors = ancestry();
  const watch = setInterval(() => ancestry() !== ancestors && child.kill("SIGTERM"), PARENT_WATCH_MS);
  if (process.env.npm_lifecycle_event === undefined) clearInterval(watch);
  return await new Promise((settle) => {
    child.once("error", (error) => (say(error.message), settle(1)));
    child.once("exit", (code) => settle(code ?? 1));
  }).finally(() => clearInterval(watch));
}

/** The parent and, when that is the shell npm has put in between and /proc tells, its parent: npm. */
function ancestry() {
  const { ppid } = process;
  try {
    const [, name, , grandparent] =
      /\((.*)\) (\S) (\d+) /s.exec(readFileSync(`/proc/${ppid}/stat`, "latin1")) ?? [];
    return name?.endsWith("sh") ? `${ppid} ${grandparent}` : String(ppid);
  } catch {
    return String(ppid);
  }
}

const [name = "", ...args] = process.argv.slice(2);
if (Number(process.versions.node.split(".")[0]) < OLDEST_LAUNCHER_NODE) {
  say(`Node ${OLDEST_LAUNCHER_NODE} or newer is needed to start this; it is ${process.versions.node}`);
  process.exitCode = 1;
} else if (!Object.hasOwn(commands, name)) {
  say(`usage: node scripts/run.mjs ${Object.keys(commands).join(" | ")}`);
  process.exitCode = 2;
} else {
  try {
    process.exitCode = await commands[name](args);
  } catch (error) {
    if (!(error instanceof PrepareError)) throw error;
    say(error.message);
    process.exitCode = 1;
  }
}
