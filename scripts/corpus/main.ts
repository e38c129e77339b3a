// `pnpm corpus:capture [CLIENT ...]`: captures the ClientHellos of the TLS stacks on this machine into the dispatcher's corpus. What is not
// installed is named and leaves its hellos as they are. On Debian:
// apt-get install chromium firefox-esr libnss3-tools curl openssl gnutls-bin golang-go default-jdk-headless
import { execFile, spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { createCertificateAuthority } from "@gatehouse/testbed/certificate-authority";
import { findOnPath } from "@gatehouse/testbed/program-search";
import { CLIENTS, NAME, type Capture, type Client, type Step } from "./clients.ts";
import { helloFacts, resumes } from "./hello-facts.ts";
import { RecordingRelay } from "./recording-relay.ts";

const CORPUS = join(import.meta.dirname, "../../packages/dispatcher/test/corpus");
const MANIFEST = join(CORPUS, "manifest.json");
/** Milliseconds for one capture: a browser takes seconds to start, and npm fetches a Node once. */
const CAPTURE_TIMEOUT_MS = 90_000;
const POLL_MS = 20;

/** One line of the manifest. `facts` are read from the octets, see hello-facts.ts. */
interface Entry {
  readonly file: string;
  readonly client: string;
  readonly version: string;
  readonly octets: number;
  readonly facts: readonly string[];
}

type Credentials = { readonly certPem: string; readonly keyPem: string; readonly caPath: string };

async function main(wanted: readonly string[]): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), "corpus-"));
  try {
    const authority = await createCertificateAuthority(scratch);
    const credentials = { ...(await authority.issue([NAME])), caPath: authority.caPath };
    await mkdir(CORPUS, { recursive: true });
    const entries = new Map((await readManifest()).map((entry) => [entry.file, entry]));
    const problems: string[] = [];
    for (const client of CLIENTS.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
      const version = await versionOf(client);
      if (version === undefined) problems.push(`${client.name}: not found (${client.program})`);
      else problems.push(...(await captureClient({ client, version }, credentials, entries)));
    }
    const sorted = [...entries.values()].sort((a, b) => a.file.localeCompare(b.file));
    await writeFile(MANIFEST, `${JSON.stringify(sorted, undefined, 2)}\n`);
    for (const problem of problems) console.log(problem);
    console.log(`${sorted.length} hellos in the corpus`);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Captures every hello of one client, writes it, enters it; returns what did not work. */
async function captureClient(
  { client, version }: { client: Client; version: string },
  credentials: Credentials,
  entries: Map<string, Entry>,
): Promise<string[]> {
  const problems: string[] = [];
  for (const capture of client.captures) {
    const file = `${client.name}-${capture.what}.bin`;
    const flight = await captureOne(capture, credentials);
    if (flight === undefined) {
      problems.push(`${client.name}, ${capture.what}: sent no hello`);
      continue;
    }
    const facts = helloFacts(flight);
    console.log(`${file}: ${flight.length} octets, ${facts.join(", ")}`);
    await writeFile(join(CORPUS, file), flight);
    entries.set(file, { file, client: client.name, version, octets: flight.length, facts });
  }
  return problems;
}

async function captureOne(capture: Capture, credentials: Credentials): Promise<Buffer | undefined> {
  const directory = await mkdtemp(join(tmpdir(), "corpus-"));
  const relay = await RecordingRelay.start({ cert: credentials.certPem, key: credentials.keyPem });
  const isWanted = capture.resumes === true ? resumes : () => true;
  try {
    for (const step of capture.steps({ port: relay.port, caPath: credentials.caPath, directory }))
      await runStep(step, () => relay.flights.some(isWanted));
    return relay.flights.find(isWanted);
  } finally {
    relay.close();
    await rm(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Runs a program until it ends, or what is wanted has come; then it is stopped. */
async function runStep(step: Step, isEnough: () => boolean): Promise<void> {
  const child = spawn(step.program, step.args, { stdio: ["pipe", "ignore", "ignore"], detached: true });
  const state = { isOver: false };
  const ended = new Promise<void>((resolve) => {
    child.once("error", () => resolve()).once("close", () => resolve());
  }).then(() => (state.isOver = true));
  child.stdin.on("error", () => {});
  child.stdin.write(step.stdin ?? "");
  const end = Date.now() + CAPTURE_TIMEOUT_MS;
  while (!isEnough() && !state.isOver && Date.now() < end)
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  if (child.pid !== undefined && !state.isOver) killGroup(child.pid);
  await ended;
}

/** A browser is many processes; they are one group, made for this. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has just ended.
  }
}

/** The first line with a digit of what the client says of itself; undefined when it is not there. */
async function versionOf({ program, version }: Client): Promise<string | undefined> {
  if (findOnPath(program) === undefined) return undefined;
  if (version.length === 0) return await packageVersion(program);
  try {
    const { stdout } = await promisify(execFile)(program, version, { timeout: CAPTURE_TIMEOUT_MS });
    const line = stdout.split("\n").find((text) => /\d/.test(text));
    return line?.trim().slice(0, 80);
  } catch {
    return undefined;
  }
}

/** The version of the Debian package that a program without a word for it comes from. */
async function packageVersion(program: string): Promise<string> {
  try {
    const { stdout: owner } = await promisify(execFile)("dpkg", ["-S", findOnPath(program) ?? program]);
    const [name = ""] = owner.split(":");
    const { stdout } = await promisify(execFile)("dpkg-query", ["-W", "-f", "${Version}", name]);
    return `${name} ${stdout}`;
  } catch {
    return "unknown";
  }
}

async function readManifest(): Promise<Entry[]> {
  try {
    return JSON.parse(await readFile(MANIFEST, "utf8")) as Entry[];
  } catch {
    return []; // the first capture
  }
}

await main(process.argv.slice(2));
