import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { parseArgs } from "node:util";
import { parseHostname, type Hostname } from "@gatehouse/shared/hostname";
import type { Environment } from "@gatehouse/shared/read-config";
import { UsageError } from "../commands/command.ts";
import { CLIENTS } from "./clients.ts";

const DEFAULT_STREAM_SECONDS = 20;
const LONGEST_STREAM_SECONDS = 3600;
const HTTPS_PORT = 443;

/** Where a token may be given without standing in the list of processes. */
export const TOKEN_VARIABLE = "GATEHOUSE_DOCTOR_TOKEN";

/** What is asked of the doctor. */
export interface DoctorRequest {
  readonly hostname: Hostname;
  /** As URLs have it. */
  readonly port: number;
  /** Path of the MCP endpoint, where it was given. */
  readonly path?: string;
  /** Connect there, whatever DNS says. */
  readonly address?: { readonly host: string; readonly port: number };
  /** PEM of an authority to trust instead of the usual ones. */
  readonly ca?: string;
  readonly token?: string;
  readonly login: boolean;
  /** Calls this one too, without arguments. */
  readonly tool?: string;
  /** Names of the clients to play. */
  readonly clients: readonly string[];
  readonly streamSeconds: number;
  readonly isJson: boolean;
}

/** Reads the words after `gatehouse doctor`. @throws {UsageError} */
export function readDoctorRequest(args: readonly string[], env: Environment): DoctorRequest {
  const { values, positionals } = parsed(args);
  const [place = "", ...more] = positionals;
  if (place === "" || more.length > 0) throw new UsageError("doctor takes one host: gatehouse doctor HOST");
  const address = values.address === undefined ? undefined : readAddress(values.address);
  return {
    ...readPlace(place, address?.port ?? HTTPS_PORT),
    ...(address && { address }),
    ...(values.ca !== undefined && { ca: readAuthority(values.ca) }),
    ...readAccess(values, env),
    ...(values.tool !== undefined && { tool: values.tool }),
    clients: readClients(values.as),
    streamSeconds: readSeconds(values["stream-seconds"]),
    isJson: values.json,
  };
}

function readAccess(
  values: { readonly token?: string; readonly login: boolean },
  env: Environment,
): Pick<DoctorRequest, "token" | "login"> {
  const token = values.token ?? env[TOKEN_VARIABLE] ?? "";
  if (token !== "" && values.login) throw new UsageError("--login and a token exclude each other");
  return { login: values.login, ...(token !== "" && { token }) };
}

const TEXT = { type: "string" } as const;
const FLAG = { type: "boolean", default: false } as const;
const OPTIONS = {
  address: TEXT,
  ca: TEXT,
  login: FLAG,
  token: TEXT,
  tool: TEXT,
  as: TEXT,
  "stream-seconds": TEXT,
  json: FLAG,
} as const;

/** The options with their dashes, for completion. */
export const DOCTOR_OPTIONS: readonly string[] = [...Object.keys(OPTIONS), "help"].map((name) => `--${name}`);

function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], allowPositionals: true, options: OPTIONS });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/** `HOST`, `HOST:PORT`, or the URL as it stands in the client. */
function readPlace(text: string, usualPort: number): Pick<DoctorRequest, "hostname" | "port" | "path"> {
  const isUrl = text.includes("://");
  const url = URL.parse(isUrl ? text : `https://${text}`);
  const name = parseHostname(url?.hostname ?? "");
  if (url?.protocol !== "https:" || !name.ok)
    throw new UsageError(`${JSON.stringify(text)} is no hostname, HOST:PORT or https:// URL`);
  const isPortNamed = /^(?:https:\/\/)?[^/]+:\d+(?:\/|$)/.test(text);
  const namedPort = url.port === "" ? HTTPS_PORT : Number(url.port);
  const port = isPortNamed ? namedPort : usualPort;
  return { hostname: name.hostname, port, ...(url.pathname !== "/" && { path: url.pathname }) };
}

function readAddress(text: string): { host: string; port: number } {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d+)$/.exec(text) ?? [];
  const host = bracketed ?? plain ?? "";
  if (isIP(host) === 0 || Number(port) < 1 || Number(port) > 65_535)
    throw new UsageError("--address takes ADDRESS:PORT, such as 10.0.0.7:443 or [2001:db8::7]:443");
  return { host, port: Number(port) };
}

function readAuthority(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError(`--ca: ${path} can't be read`, { cause: error });
  }
}

function readClients(name: string | undefined): readonly string[] {
  const all = CLIENTS.map((client) => client.name);
  if (name === undefined) return all;
  if (!all.includes(name)) throw new UsageError(`--as takes one of ${all.join(", ")}`);
  return [name];
}

function readSeconds(text: string | undefined): number {
  const seconds = Number(text ?? DEFAULT_STREAM_SECONDS);
  if (Number.isInteger(seconds) && seconds >= 1 && seconds <= LONGEST_STREAM_SECONDS) return seconds;
  throw new UsageError(`--stream-seconds takes 1 to ${LONGEST_STREAM_SECONDS}`);
}
