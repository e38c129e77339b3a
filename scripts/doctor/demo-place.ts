import { readFile } from "node:fs/promises";
import { readDemoFile } from "../demo/demo-file.ts";
import { runningDemo } from "../demo/demo-pid.ts";
import { REPOSITORY } from "../demo/options.ts";
import type { DoctorRequest } from "./request.ts";

/** Adds address, public port and authority for a host of the demo that runs in this checkout: nothing else finds `*.localhost` there. */
export async function atDemo(request: DoctorRequest): Promise<DoctorRequest> {
  const stateDir = `${REPOSITORY}/.gatehouse`;
  if (request.address !== undefined || runningDemo(stateDir) === undefined) return request;
  const demo = await readDemoFile(stateDir);
  if (demo?.hosts[request.hostname] === undefined) return request;
  const { dispatcher, ca_file: caFile } = demo;
  const ca = request.ca ?? (await readFile(caFile, "utf8"));
  return { ...request, address: dispatcher, port: dispatcher.port, ca };
}
