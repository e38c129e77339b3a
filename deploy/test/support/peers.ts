import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join, sep } from "node:path";
import { promisify } from "node:util";
import { findOnPath } from "@gatehouse/testbed/program-search";
import * as z from "zod";
import { chromiumPeer } from "./chromium.ts";
import type { FoundPeer, Peer } from "./peer.ts";

const run = promisify(execFile);

/** For one fetch by a program that has to start first, on a machine with every core busy. */
const PROGRAM_TIMEOUT_MS = 30_000;

const answerSchema = z.object({ protocol: z.string(), status: z.number(), body: z.string() });

/** Finds the peers of this machine. Those that are missing come with the reason, for the test report. */
export async function findPeers(): Promise<FoundPeer[]> {
  const looked = await Promise.all([systemNodePeer(), curlPeer(), opensslPeer(), chromiumPeer()]);
  return [pinnedNodePeer(), ...looked];
}

function nodePeer(name: string, program: string): Peer {
  return {
    name,
    protocols: ["http/1.1", "h2"],
    fetch: async (target, protocol) => {
      const script = join(import.meta.dirname, "node-peer.mjs");
      const question = JSON.stringify({ ...target, protocol });
      const { stdout } = await run(program, [script, question], { timeout: PROGRAM_TIMEOUT_MS });
      return answerSchema.parse(JSON.parse(stdout));
    },
  };
}

/** The Node that runs Gatehouse and the tests. */
export function pinnedNodePeer(): Peer {
  return nodePeer(`Node ${process.version} (pinned)`, process.execPath);
}

/** The Node that a user's shell starts; the pinned one and those that package managers link are passed over. */
async function systemNodePeer(): Promise<FoundPeer> {
  const program = (process.env["PATH"] ?? "")
    .split(delimiter)
    .filter((folder) => !folder.split(sep).includes("node_modules"))
    .map((folder) => join(folder, "node"))
    .find((path) => existsSync(path));
  if (program === undefined) return { name: "the system's Node", missing: "PATH has no other Node" };
  const { stdout } = await run(program, ["--version"], { timeout: PROGRAM_TIMEOUT_MS });
  return nodePeer(`Node ${stdout.trim()} (the system's)`, program);
}

async function curlPeer(): Promise<FoundPeer> {
  const program = findOnPath("curl");
  if (program === undefined) return { name: "curl", missing: "curl is not installed" };
  const { stdout: version } = await run(program, ["--version"], { timeout: PROGRAM_TIMEOUT_MS });
  return {
    name: "curl",
    protocols: /\bHTTP2\b/.test(version) ? ["http/1.1", "h2"] : ["http/1.1"],
    fetch: async ({ hostname, address, port, path, caPath }, protocol) => {
      const place = `${hostname}:${port}:${address.includes(":") ? `[${address}]` : address}`;
      const args = ["--silent", "--show-error", "--noproxy", "*", "--cacert", caPath, "--resolve", place];
      args.push(protocol === "h2" ? "--http2" : "--http1.1", "--write-out", "\n%{http_version} %{http_code}");
      args.push(`https://${hostname}:${port}${path}`);
      const { stdout } = await run(program, args, { timeout: PROGRAM_TIMEOUT_MS });
      const [, body = "", version = "", status = ""] = /^([^]*)\n(\S+) (\d+)$/.exec(stdout) ?? [];
      return { protocol: version === "2" ? "h2" : `http/${version}`, status: Number(status), body };
    },
  };
}

async function opensslPeer(): Promise<FoundPeer> {
  const program = findOnPath("openssl");
  if (program === undefined) return { name: "openssl s_client", missing: "openssl is not installed" };
  return {
    name: "openssl s_client",
    // It speaks TLS only; the request is ours, and frames of HTTP/2 are more than a test should write by hand.
    protocols: ["http/1.1"],
    fetch: async ({ hostname, address, port, path, caPath }) => {
      const place = address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
      const args = ["s_client", "-quiet", "-connect", place, "-servername", hostname, "-alpn", "http/1.1"];
      args.push("-CAfile", caPath, "-verify_hostname", hostname, "-verify_return_error");
      const question = `GET ${path} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nConnection: close\r\n\r\n`;
      const text = await converse(program, args, question);
      const [head = "", body = ""] = text.split("\r\n\r\n", 2);
      const [, version = "", status = ""] = /^(HTTP\/1\.\d) (\d{3})/.exec(head) ?? [];
      const isChunked = /^transfer-encoding: chunked$/im.test(head);
      return {
        protocol: version.toLowerCase(),
        status: Number(status),
        body: isChunked ? unchunked(body) : body,
      };
    },
  };
}

/** Writes to the program, and returns what it printed until it ended by itself. */
async function converse(program: string, args: readonly string[], input: string): Promise<string> {
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], timeout: PROGRAM_TIMEOUT_MS });
  let output = "";
  let complaints = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (complaints += text));
  // Its input stays open: at the end of its input it would leave before the answer is there.
  child.stdin.on("error", () => undefined).write(input);
  await new Promise((resolve, reject) => child.once("close", resolve).once("error", reject));
  if (output === "") throw new Error(`${program} got no answer: ${complaints}`);
  return output;
}

function unchunked(body: string): string {
  return body.replace(/([0-9a-f]+)\r\n([^]*?)\r\n/gi, (_, size: string, data: string) =>
    data.slice(0, Number.parseInt(size, 16)),
  );
}
