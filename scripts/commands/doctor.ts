import { printable } from "@gatehouse/shared/log-record";
import { CLIENTS } from "../doctor/clients.ts";
import { atDemo } from "../doctor/demo-place.ts";
import { examine } from "../doctor/examine.ts";
import { DOCTOR_OPTIONS, readDoctorRequest, TOKEN_VARIABLE } from "../doctor/request.ts";
import type { Examined, Outcome } from "../doctor/step.ts";
import type { Command } from "./command.ts";

const MARKS: Readonly<Record<Outcome, string>> = { pass: "✓", fail: "✗", skipped: "-" };

/** `gatehouse doctor HOST`: from DNS to a tool call, what each real client does. */
export const doctor: Command = {
  name: "doctor",
  summary: "why a client can't connect: every step from DNS to a tool call",
  help: `Usage: gatehouse doctor HOST[:PORT] | https://HOST[:PORT]/PATH [OPTION...]

Takes every step that real clients take, in their order; each passes, fails or is skipped, with the clause behind it, and
what fails with its likely cause and the line that mends it. What it registers it deletes; of the tools it only asks for the list.

  --address ADDRESS:PORT  connect there, whatever DNS says (its port is the public one too, unless HOST:PORT names another)
  --ca FILE               trust this authority (PEM) instead of the usual ones
  --login                 log in with your browser: prints where to go
  --token TOKEN           use this access token (or ${TOKEN_VARIABLE}, which no list of processes shows)
  --tool NAME             call this tool too, without arguments
  --as CLIENT             one of ${CLIENTS.map(({ name }) => name).join(", ")} (default: all)
  --stream-seconds N      how long an event stream has to last (20)
  --json                  an object a line

Redis (REDIS_URL, LOG_REDIS_URL, or a demo that runs here) adds what stands in the configuration and in the traffic record.
Exit 0: nothing failed; 1: something did; 2: usage.

Example: gatehouse doctor simple-oauth.example.com --login`,
  options: DOCTOR_OPTIONS,
  async run(args, env) {
    const request = await atDemo(readDoctorRequest(args, env));
    // Ctrl-C while a browser is waited for must not leave clients behind; a second one ends at once.
    const stop = new AbortController();
    process.once("SIGINT", () => stop.abort());
    const all = await examine(request, env, {
      stop: stop.signal,
      tell: (text) => process.stderr.write(`${text}\n`),
      examined: (one) => {
        process.stdout.write(request.isJson ? `${JSON.stringify(one)}\n` : printed(one));
      },
    });
    const failed = all.filter(({ outcome }) => outcome === "fail");
    if (!request.isJson) process.stdout.write(summary(all));
    if (failed.length > 0 || stop.signal.aborted) process.exitCode = 1;
  },
};

function printed({ id, title, clause, outcome, finding, cause, fix }: Examined): string {
  const lines = [`${MARKS[outcome]} ${id}: ${title}`, `    ${finding}`];
  if (cause !== undefined) lines.push(`    cause: ${cause}`);
  if (fix !== undefined) lines.push(`    fix:   ${fix}`);
  if (outcome === "fail") lines.push(`    see:   ${clause}`);
  // What hosts say stands in findings: nothing of it may drive a terminal.
  return lines.map((line) => `${printable(line)}\n`).join("");
}

function summary(all: readonly Examined[]): string {
  const count = (outcome: Outcome): number => all.filter((one) => one.outcome === outcome).length;
  return `${count("pass")} passed, ${count("fail")} failed, ${count("skipped")} skipped\n`;
}
