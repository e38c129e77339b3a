// The proofs themselves, in a process that shares the machine's network and nothing else with it. Started by main.ts.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Agent } from "node:https";
import { parseArgs } from "node:util";
import { hostAdded, hostRemoved, hostRestarted } from "./commands.ts";
import { check, faultless } from "./evidence.ts";
import { Machine } from "./machine.ts";
import { plainPortAnswers, plainPortClosed, plainPortUpgrade } from "./plain-port.ts";
import { ADMIN_PORTS, BRIEF, HOSTS, LASTING, LONG, UNITS, UPSTREAM_PORT } from "./site.ts";
import { ask, EventStream, Load, shownCertificate, startUpstream, type Peer } from "./traffic.ts";

/** Requests answered before, during and after what happens under load. */
const SOME_REQUESTS = 300;
const SOME_EVENTS = 10;

const { values } = parseArgs({
  options: {
    pid: { type: "string" },
    root: { type: "string" },
    site: { type: "string" },
    phase: { type: "string" },
  },
});
const { pid = "", root = "", phase = "" } = values;
const { ca, redisPassword } = JSON.parse(values.site ?? "{}") as { ca: string; redisPassword: string };
const machine = new Machine(root, Number(pid));
const lasting: Peer = { hostname: LASTING, ca };
const brief: Peer = { hostname: BRIEF, ca };
const long: Peer = { hostname: LONG, ca };

async function mainPid(unit: string): Promise<string> {
  return machine.property(unit, "MainPID");
}

/** Requests on one and the same connection, for as long as `deed` takes. Returns how many there were. */
async function onOneConnection(peer: Peer, deed: () => Promise<void>): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  let sockets = 0;
  const create = agent.createConnection.bind(agent);
  agent.createConnection = (...args) => (sockets++, create(...args));
  const ended = new AbortController();
  const over = deed().finally(() => ended.abort());
  let count = 0;
  for (; !ended.signal.aborted; count++) {
    await ask(peer, agent);
    await delay(20);
  }
  await over;
  await ask(peer, agent);
  agent.destroy();
  check(sockets === 1, `the connection broke: ${sockets} were needed`);
  return count + 1;
}

const stream = new EventStream(lasting);
const proofs: Record<string, readonly (readonly [what: string, prove: () => Promise<string>])[]> = {
  running: [
    ["units come up after an install and a boot", booted],
    ["the queues of the public ports stay deep", deepQueue],
    ["port 80 answers authorities and browsers", () => plainPortAnswers(machine, redisPassword)],
    ["secrets come by credentials only", secrets],
    ["an event stream begins", async () => (await stream.more(SOME_EVENTS), `${stream.events} events`)],
    ["dispatcher A -> B under load", () => upgrade("A", "B")],
    ["dispatcher B -> C under load, while A drains", () => upgrade("B", "C")],
    ["port 80 from one dispatcher to the next, under load", () => plainPortUpgrade(machine)],
    ["another release and back, under load", otherRelease],
    ["instance restart by overlap, under load", overlap],
    ["five overlaps in a row, under load", manyOverlaps],
    ["a second overlap while the first drains is refused", overlapRefused],
    ["a next generation that can't start changes nothing", failedNext],
    ["plain instance restart: connections held, stream ended in order", plainRestart],
    ["a process that hangs is killed and started again", watchdog],
    ["a crash costs what the process had accepted, and refuses nobody", crash],
    ["HUP reads the certificate again", reload],
    ["gatehouse host add, from nothing to an answer", () => hostAdded(machine, ca)],
    ["gatehouse host restart, under load", () => hostRestarted(machine, ca)],
    ["gatehouse host remove", () => hostRemoved(machine, ca)],
    ["the machine goes down in seconds with drains of a day", powerOff],
  ],
  rebooted: [
    ["after a reboot the first generations serve", rebooted],
    ["port 80 can be left closed", () => plainPortClosed(machine)],
    ["a host that is disabled is gone, and the others are not", disabled],
    ["uninstall leaves settings and state, and waits for no drain", uninstall],
    ["uninstall --purge leaves nothing", purge],
  ],
};

async function booted(): Promise<string> {
  for (const host of HOSTS) await machine.untilState(`gatehouse-instance@${host}.service`, "active");
  await machine.untilState("gatehouse-dispatcher@A.service", "active");
  for (const peer of [lasting, brief, long]) await ask(peer);
  const mode = await machine.must("stat", "-c", "%a %U:%G", "/run/gatehouse", `/run/gatehouse/${BRIEF}.sock`);
  check(mode === "750 root:gatehouse\n660 root:gatehouse", `modes: ${mode}`);
  return `all hosts answer through /run/gatehouse (750, 660 root:gatehouse), one with a name of ${LONG.length} octets`;
}

/** Node listens again on a socket it inherits: with a backlog of its own it would make the socket unit's worthless. */
async function deepQueue(): Promise<string> {
  for (const port of [443, 80]) {
    const words = (await machine.must("ss", "-Hlnt", `sport = :${port}`)).trim().split(/\s+/);
    check(words[2] === "4096", `ss says ${words.join(" ")}`);
  }
  return "ss: 4096 for 443 and 80";
}

async function secrets(): Promise<string> {
  const key = await readFile(join(root, "etc/gatehouse/credentials/GATEHOUSE_SECRET_KEY"), "utf8");
  const units = [
    "gatehouse-dispatcher@A.service",
    ...HOSTS.map((host) => `gatehouse-instance@${host}.service`),
  ];
  for (const unit of units) {
    const environment = await machine.must("cat", `/proc/${await mainPid(unit)}/environ`);
    const shown = await machine.must("systemctl", "show", unit);
    check(environment.includes("CREDENTIALS_DIRECTORY="), `${unit} has no credentials`);
    for (const secret of [key.trim(), redisPassword])
      check(!environment.includes(secret) && !shown.includes(secret), `${unit} shows a secret`);
  }
  const users = await Promise.all(
    units.map(async (unit) => machine.must("stat", "-c", "%u", `/proc/${await mainPid(unit)}`)),
  );
  for (const host of HOSTS) {
    const unit = `gatehouse-instance@${host}.service`;
    const own = await machine.must("cat", `/run/credentials/${unit}/GATEHOUSE_SECRET_KEY`);
    check(own.startsWith(`hostname:${host}:`), `${unit} has another key than its own`);
    const shown = await machine.must("grep", "-rc", key.trim(), `/run/credentials/${unit}`).catch(() => "");
    check(shown === "", `${unit} is shown the root key`);
  }
  check(new Set(users).size === users.length && !users.includes("0"), `users: ${users.join(", ")}`);
  return `Redis has a password and lets all in; not in environ nor in systemctl show; instances have the key of their hostname, not the root key; users ${users.join(", ")}`;
}

async function upgrade(from: string, to: string): Promise<string> {
  const load = new Load(brief);
  await load.more(SOME_REQUESTS);
  const requests = await onOneConnection(lasting, async () => {
    await machine.must(UNITS, "next", "dispatcher");
    await load.more(SOME_REQUESTS);
  });
  const result = faultless(await load.stop());
  await stream.more(SOME_EVENTS);
  check(stream.gaps === 0, `the stream lost ${stream.gaps} events`);
  await machine.untilState(`gatehouse-dispatcher@${from}.service`, "deactivating", "inactive");
  await machine.untilState(`gatehouse-dispatcher@${to}.service`, "active");
  const former = await machine.property("gatehouse-dispatcher@A.service", "ActiveState");
  check(former === "deactivating", `A, which has the stream, is ${former}`);
  return `${result}; ${requests} requests on one older connection; the stream from before goes on (${stream.events} events, no gap)`;
}

/** The dispatcher that accepts now. */
async function serving(): Promise<string> {
  const shown = await machine.must(UNITS, "show", "dispatcher");
  const active = shown.split("\n").filter((line) => line.split(" ")[1] === "active");
  check(active.length === 1, `not one dispatcher is active: ${shown}`);
  return active[0]?.split(" ")[0] ?? "";
}

/** As an upgrade goes: the installer makes another release the current one, the next dispatcher runs it. */
async function otherRelease(): Promise<string> {
  const releases = "/opt/gatehouse/releases";
  const first = (await machine.must("readlink", "/opt/gatehouse/current")).replace("releases/", "");
  await machine.must("cp", "-al", `${releases}/${first}`, `${releases}/other`);
  const load = new Load(brief);
  const seen: string[] = [];
  for (const name of ["other", first]) {
    await machine.must("/opt/gatehouse/current/deploy/install.sh", "--use", name);
    await load.more(SOME_REQUESTS / 3);
    await machine.must(UNITS, "next", "dispatcher");
    await load.more(SOME_REQUESTS / 3);
    const unit = await serving();
    const program = await machine.must("readlink", `/proc/${await mainPid(unit)}/exe`);
    check(program.startsWith(`${releases}/${name}/`), `${unit} runs ${program}`);
    seen.push(/@(\w+)/.exec(unit)?.[1] ?? "");
  }
  return `install.sh --use other, then --use ${first}: dispatchers ${seen.join(", ")}; ${faultless(await load.stop())}`;
}

async function manyOverlaps(): Promise<string> {
  const load = new Load(brief);
  const held = new EventStream(brief);
  for (let count = 0; count < 5; count++) {
    await load.more(SOME_REQUESTS / 3);
    await machine.must(UNITS, "next", "instance", BRIEF);
    await load.more(SOME_REQUESTS / 3);
    // A place is free again once the former generation has drained, two seconds at most.
    const isFree = async (): Promise<boolean> => {
      const lines = (await machine.must(UNITS, "show", "instance", BRIEF)).split("\n");
      return lines.length === 1;
    };
    await machine.until("the former generation ends", isFree);
  }
  check(held.end === "ended in order", `the stream: ${held.end}`);
  // The next proofs look at the first place.
  await machine.must(UNITS, "restart", "instance", BRIEF);
  return `${faultless(await load.stop())}; a stream ${held.end} at its generation's deadline`;
}

async function overlap(): Promise<string> {
  const load = new Load(lasting);
  await load.more(SOME_REQUESTS);
  await machine.must(UNITS, "next", "instance", LASTING);
  await load.more(SOME_REQUESTS);
  const result = faultless(await load.stop());
  await stream.more(SOME_EVENTS);
  check(stream.gaps === 0, `the stream lost ${stream.gaps} events`);
  const former = await machine.property(`gatehouse-instance@${LASTING}.service`, "ActiveState");
  const next = await machine.property(`gatehouse-instance-b@${LASTING}.service`, "ActiveState");
  check(former === "deactivating" && next === "active", `generations are ${former} and ${next}`);
  const health = await Promise.all(
    Object.values(ADMIN_PORTS).map(async (port) => (await fetch(`http://127.0.0.1:${port}/health`)).status),
  );
  check(health.join(" ") === "503 200", `health of the two: ${health.join(", ")}`);
  return `${result}; the stream from before goes on in the former generation (${stream.events} events); health 503 there, 200 here`;
}

async function overlapRefused(): Promise<string> {
  const { status } = await machine.run(UNITS, "next", "instance", LASTING);
  check(status === 75, `status ${status}`);
  await ask(lasting);
  await stream.more(1);
  return "status 75, both generations untouched";
}

async function failedNext(): Promise<string> {
  const env = `/etc/gatehouse/hosts/${BRIEF}.env`;
  await machine.must("sed", "-i", "1iGATEHOUSE_PUBLIC_PORT=none", env);
  const load = new Load(brief);
  await load.more(SOME_REQUESTS);
  const { status } = await machine.run(UNITS, "next", "instance", BRIEF);
  await load.more(SOME_REQUESTS);
  const result = faultless(await load.stop());
  await machine.must("sed", "-i", "1d", env);
  const next = await machine.property(`gatehouse-instance-b@${BRIEF}.service`, "ActiveState");
  check(status === 1 && (next === "inactive" || next === "failed"), `status ${status}, next is ${next}`);
  return `status 1, next is ${next}; ${result}`;
}

async function plainRestart(): Promise<string> {
  const open = new EventStream(brief);
  await open.more(SOME_EVENTS);
  const unit = `gatehouse-instance@${BRIEF}.service`;
  const before = await mainPid(unit);
  const load = new Load(brief);
  await load.more(SOME_REQUESTS);
  await machine.must(UNITS, "restart", "instance", BRIEF);
  await load.more(SOME_REQUESTS);
  const result = await load.stop();
  check(open.end === "ended in order", `the stream: ${open.end}`);
  check(result.longestMs >= 1000, `nothing had to wait: longest ${result.longestMs} ms`);
  check((await mainPid(unit)) !== before, "it is the same process");
  return `${faultless(result)}; the stream ${open.end} after ${open.events} events`;
}

async function watchdog(): Promise<string> {
  const unit = `gatehouse-instance@${BRIEF}.service`;
  const before = await mainPid(unit);
  // Three periods: what pings is left alone.
  await delay(12_000);
  check((await mainPid(unit)) === before, "it was killed although it pinged");
  await machine.must("systemctl", "kill", "--kill-whom=main", "--signal=STOP", unit);
  const since = performance.now();
  await machine.until("a new process", async () => !["0", before].includes(await mainPid(unit)));
  await machine.untilState(unit, "active");
  const seconds = ((performance.now() - since) / 1000).toFixed(1);
  await ask(brief);
  const journal = await machine.must("journalctl", "--no-pager", "-u", unit);
  check(journal.includes("Watchdog timeout"), "the journal does not know of a watchdog");
  return `left alone for 3 periods of 4 s; stopped by SIGSTOP it served again after ${seconds} s`;
}

/** Both tiers are killed in turn. What they had accepted is lost with them; what waits in the sockets is not. */
async function crash(): Promise<string> {
  const workers = 8;
  const load = new Load(brief, workers);
  await load.more(SOME_REQUESTS / 3);
  const lost: number[] = [];
  for (const unit of [`gatehouse-instance@${BRIEF}.service`, await serving()]) {
    const before = await mainPid(unit);
    await machine.must("systemctl", "kill", "--kill-whom=main", "--signal=KILL", unit);
    await machine.until("a new process", async () => !["0", before].includes(await mainPid(unit)));
    await machine.untilState(unit, "active");
    await load.more(SOME_REQUESTS / 3);
    lost.push(load.failed);
  }
  const { answered, failures, longestMs } = await load.stop();
  check(load.failed <= 2 * workers, `${load.failed} of ${workers} peers at a time failed`);
  check(!failures.has("ECONNREFUSED"), "connections were refused");
  await stream.more(1);
  return `${answered} new connections answered, 0 refused, ${lost.join(" then ")} lost of ${workers} at a time, longest ${longestMs} ms`;
}

async function reload(): Promise<string> {
  const before = await shownCertificate(brief);
  process.send?.({ issue: true });
  await new Promise<void>((resolve) => process.once("message", () => resolve()));
  await delay(1000);
  check((await shownCertificate(brief)) === before, "the new certificate was seen without a HUP");
  const unit = `gatehouse-instance@${BRIEF}.service`;
  const process_ = await mainPid(unit);
  const load = new Load(brief);
  await load.more(SOME_REQUESTS / 3);
  await machine.must("systemctl", "reload", unit);
  await machine.until("a new certificate", async () => (await shownCertificate(brief)) !== before, 5000);
  await load.more(SOME_REQUESTS / 3);
  const result = faultless(await load.stop());
  check((await mainPid(unit)) === process_, "it is another process");
  check((await machine.property(unit, "ActiveState")) === "active", "it is still reloading");
  return `another serial number from the same process; ${result}`;
}

async function powerOff(): Promise<string> {
  await stream.more(1);
  const since = performance.now();
  await machine.run("systemctl", "poweroff");
  while (machine.isUp && performance.now() - since < 60_000) await delay(100);
  const seconds = ((performance.now() - since) / 1000).toFixed(1);
  check(!machine.isUp && Number(seconds) < 25, `it took ${seconds} s`);
  return `${seconds} s, with two dispatchers and an instance that still had streams among them`;
}

async function rebooted(): Promise<string> {
  await booted();
  const shown = await machine.must("systemctl", "is-active", "gatehouse-dispatcher@A.service");
  check(shown === "active", `A is ${shown}`);
  return "A and gatehouse-instance@HOST of all hosts, by their [Install] sections";
}

async function disabled(): Promise<string> {
  await machine.must(UNITS, "disable", "instance", LONG);
  const left = await machine.must("find", "/etc/systemd/system", "-name", `*${LONG}*`);
  check(left === "", `left in place: ${left}`);
  check((await machine.must("ls", "/run/gatehouse")).split("\n").length === 2, "its socket is still there");
  check((await machine.must(UNITS, "show", "instance", LONG)) === "", "it still runs");
  for (const peer of [lasting, brief]) await ask(peer);
  return "units, drop-ins and socket of one; the other two answer";
}

async function uninstall(): Promise<string> {
  await machine.must("cp", "/opt/gatehouse/current/deploy/uninstall.sh", "/root/");
  await machine.must("/root/uninstall.sh");
  const { status } = await machine.run("systemctl", "cat", "gatehouse-dispatcher@.service");
  check(status !== 0, "the unit is still there");
  check((await machine.run("ls", "/opt/gatehouse")).status !== 0, "/opt/gatehouse is still there");
  const listens = await machine.must("ss", "-Hlnt", "sport = :443 or sport = :80");
  check(listens === "", `somebody listens: ${listens}`);
  await machine.must("ls", "/etc/gatehouse/credentials/GATEHOUSE_SECRET_KEY", "/var/lib/private/gatehouse");
  const failed = await machine.must(
    "systemctl",
    "list-units",
    "--failed",
    "--plain",
    "--no-legend",
    "gatehouse*",
  );
  return `although a dispatcher drains a stream: units, /opt/gatehouse, ports 443 and 80 gone; secrets and state there${failed === "" ? "" : `; ${failed}`}`;
}

async function purge(): Promise<string> {
  await machine.must("/root/uninstall.sh", "--purge");
  for (const place of ["/etc/gatehouse", "/var/lib/private/gatehouse", "/run/gatehouse"])
    check((await machine.run("ls", place)).status !== 0, `${place} is still there`);
  check((await machine.run("getent", "group", "gatehouse")).status !== 0, "the group is still there");
  return "settings, secrets, state and group gone";
}

await startUpstream(UPSTREAM_PORT);
for (const [what, prove] of proofs[phase] ?? []) {
  const since = performance.now();
  const row = await prove().then(
    (evidence) => ({ what, isProved: true, evidence }),
    (error: unknown) => ({
      what,
      isProved: false,
      evidence: error instanceof Error ? error.message : String(error),
    }),
  );
  process.send?.({ row: { ...row, seconds: (performance.now() - since) / 1000 } });
}
process.disconnect();
process.exit(0);
