import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Capture, CapturePlace, Client, Step } from "./clients.ts";

/** Browsers, without a window, with a profile of their own that goes away with the capture. */
export function browserClients(name: string): readonly Client[] {
  return [firefoxClient(name), chromiumClient(name)];
}

function firefoxClient(name: string): Client {
  const open = (preferences: Record<string, string | number | boolean> = {}) => {
    return (place: CapturePlace): Step[] => firefoxSteps(name, place, preferences);
  };
  const captures: Capture[] = [
    { what: "default", steps: open() },
    { what: "no-post-quantum", steps: open({ "security.tls.enable_kyber": false }) },
    { what: "no-ech", steps: open({ "security.tls.ech.grease_probability": 0 }) },
    { what: "tls12", steps: open({ "security.tls.version.max": 3 }) },
    { what: "resumed", resumes: true, steps: open() },
  ];
  return { name: "firefox", program: "firefox-esr", version: ["--version"], captures };
}

/** Firefox trusts only what stands in its profile, so the throw-away authority is put there with NSS's own tool. */
function firefoxSteps(
  name: string,
  { port, caPath, directory }: CapturePlace,
  preferences: Record<string, string | number | boolean>,
): Step[] {
  const profile = join(directory, "firefox");
  mkdirSync(profile, { recursive: true });
  const all = {
    "network.dns.localDomains": name,
    "network.proxy.type": 0,
    // 1: the socket goes out at once; speculative connections would send hellos of their own.
    "network.http.speculative-parallel-limit": 0,
    "network.captive-portal-service.enabled": false,
    "browser.shell.checkDefaultBrowser": false,
    "datareporting.policy.dataSubmissionEnabled": false,
    "toolkit.telemetry.enabled": false,
    ...preferences,
  };
  const lines = Object.entries(all).map(([key, value]) => `user_pref("${key}", ${JSON.stringify(value)});`);
  writeFileSync(join(profile, "user.js"), lines.join("\n"));
  const database = `sql:${profile}`;
  return [
    { program: "certutil", args: ["-N", "-d", database, "--empty-password"] },
    { program: "certutil", args: ["-A", "-d", database, "-n", "corpus", "-t", "C,,", "-i", caPath] },
    {
      program: "firefox-esr",
      args: ["--headless", "--no-remote", "--profile", profile, `https://${name}:${port}/`],
    },
  ];
}

function chromiumClient(name: string): Client {
  const open = (...args: string[]) => {
    return ({ port, directory }: CapturePlace): Step[] => [
      {
        program: "chromium",
        args: [
          "--headless=new",
          "--no-sandbox",
          "--disable-gpu",
          "--disable-quic",
          "--disable-background-networking",
          "--no-proxy-server",
          "--no-first-run",
          "--ignore-certificate-errors",
          `--user-data-dir=${join(directory, "chromium")}`,
          `--host-resolver-rules=MAP ${name} 127.0.0.1, MAP * ~NOTFOUND`,
          ...args,
          `https://${name}:${port}/`,
        ],
      },
    ];
  };
  const captures: Capture[] = [
    { what: "default", steps: open() },
    { what: "http1", steps: open("--disable-http2") },
    { what: "tls12", steps: open("--ssl-version-max=tls1.2") },
    { what: "resumed", resumes: true, steps: open() },
  ];
  return { name: "chromium", program: "chromium", version: ["--version"], captures };
}
