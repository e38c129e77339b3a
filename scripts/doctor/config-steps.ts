import { X509Certificate } from "node:crypto";
import type { NetConnectOpts } from "node:net";
import { parseHostConfig, parseUpstream } from "@gatehouse/shared/host-config";
import { routeNames } from "@gatehouse/shared/hostname";
import { certificateKey, hostConfigKey, routeKey } from "@gatehouse/shared/redis-keys";
import { formatTarget, parseRoute, type Route, type Target } from "@gatehouse/shared/route";
import { parseStoredCertificate } from "@gatehouse/shared/stored-certificate";
import { wrongTypeOf } from "@gatehouse/shared/stored-text";
import type { Chart } from "./chart.ts";
import { dial } from "./dial.ts";
import { fail, pass, skip, type Finding, type Step } from "./step.ts";

/** What stands in Redis for this host. First, because later steps take the path of the endpoint from it. */
export const configSteps: readonly Step[] = [
  {
    id: "config.host",
    title: "the host config is good",
    clause: "docs/storage.md, proxy:{hostname}",
    run: asked(judgeConfig),
  },
  {
    id: "config.users",
    title: "somebody may log in",
    clause: "docs/storage.md, proxy:{hostname}: auth_required_users",
    needs: ["config.host"],
    run: asked(judgeUsers),
  },
  {
    id: "config.upstream",
    title: "the upstream takes a connection from here",
    clause: "docs/storage.md, proxy:{hostname}: target_url",
    needs: ["config.host"],
    run: asked(dialUpstream),
  },
  {
    id: "config.certificate",
    title: "the stored certificate can be read and is of this host",
    clause: "docs/storage.md, cert:{hostname}",
    needs: ["config.host"],
    run: asked(judgeCertificate),
  },
  {
    id: "config.route",
    title: "a route leads to the host",
    clause: "docs/storage.md, route:{hostname}",
    run: asked(judgeRoute),
  },
  {
    id: "config.target",
    title: "each target of the route takes a connection from here",
    clause: "docs/storage.md, route:{hostname}",
    needs: ["config.route"],
    run: asked(dialTargets),
  },
];

function asked(run: (chart: Chart) => Promise<Finding>): Step["run"] {
  return async (chart) => (chart.store.hasControl ? await run(chart) : skip(chart.store.controlProblem));
}

async function judgeConfig(chart: Chart): Promise<Finding> {
  const key = hostConfigKey(chart.request.hostname);
  const text = await chart.store.get(key);
  if (text === undefined)
    return fail(`there is no ${key}`, {
      cause: "the host was never added, was removed, or REDIS_URL is another server's",
      fix: `redis-cli SET ${key} '{"target_url":"http://127.0.0.1:3000"}'`,
    });
  const parsed = parseHostConfig(text);
  if (!parsed.ok)
    return fail(parsed.problems.map(({ key, expected }) => `${key} ${expected}`).join("; "), {
      cause: "the instance keeps the last good config, or serves nothing when it never had one (config_bad)",
      fix: `correct these fields of ${key}`,
    });
  chart.config = parsed.config;
  const { enabled, maintenance, auth_enabled: isProtected } = parsed.config;
  return pass(`enabled ${enabled}, maintenance ${maintenance}, auth_enabled ${isProtected}`);
}

async function judgeUsers({ config, request }: Chart): Promise<Finding> {
  if (config?.auth_enabled !== true) return skip("the host is open");
  const users = config.auth_required_users ?? [];
  if (users.length > 0) return pass(users.includes("*") ? "everyone" : `${users.length} entries`);
  return fail("auth_required_users is empty: nobody may log in", {
    cause: "an empty list admits nobody",
    fix: `"auth_required_users": ["LOGIN"] in proxy:${request.hostname}, or ["*"] for everyone`,
  });
}

async function dialUpstream({ config, request }: Chart): Promise<Finding> {
  const upstream = parseUpstream(config?.target_url ?? "");
  if (upstream === undefined) return skip("needs config.host");
  if (upstream.kind === "unix") return await dialed({ path: upstream.socketPath }, request.hostname);
  const { hostname, port, protocol } = new URL(upstream.origin);
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  return await dialed({ host, port: Number(port || (protocol === "https:" ? 443 : 80)) }, request.hostname);
}

async function dialed(place: NetConnectOpts, hostname: string): Promise<Finding> {
  const name =
    "path" in place && place.path
      ? place.path
      : `${"host" in place ? place.host : ""}:${"port" in place ? place.port : ""}`;
  const code = await dial(place);
  if (code === undefined) return pass(name);
  return fail(`${name}: ${code}`, {
    cause:
      "the MCP server does not run, or listens elsewhere (where the doctor runs on another machine: it may be right there)",
    fix: `start the MCP server, or correct target_url in proxy:${hostname}`,
  });
}

async function judgeCertificate(chart: Chart): Promise<Finding> {
  if (chart.config?.certificate !== "stored")
    return skip(`certificate is "${chart.config?.certificate ?? ""}"`);
  const { hostname } = chart.request;
  const key = certificateKey(hostname);
  const why = {
    cause: "the instance serves its stand-in certificate, or the last good one",
    fix: `store fullchain_pem and the sealed private_key under ${key}`,
  };
  const text = await chart.store.get(key);
  if (text === undefined) return fail(`there is no ${key}`, why);
  const stored = parseStoredCertificate(text);
  if (stored === undefined) return fail(`${key} ${unreadable(text)}`, why);
  try {
    const certificate = new X509Certificate(stored.fullchain_pem);
    if (certificate.checkHost(hostname) === undefined)
      return fail(`it is for ${certificate.subjectAltName ?? "no name"}`, why);
    if (certificate.validToDate.getTime() < Date.now())
      return fail(`it expired on ${certificate.validTo}`, why);
    return pass(`until ${certificate.validTo}`);
  } catch {
    return fail("fullchain_pem is no certificate", why);
  }
}

function unreadable(text: string): string {
  const type = wrongTypeOf(text)?.type;
  return type === undefined ? "can't be read" : `is ${type}, not a string`;
}

async function routeOf(chart: Chart): Promise<{ readonly key: string; readonly value: string } | undefined> {
  for (const name of routeNames(chart.request.hostname)) {
    const value = await chart.store.get(routeKey(name));
    if (value !== undefined) return { key: routeKey(name), value };
  }
  return undefined;
}

async function judgeRoute(chart: Chart): Promise<Finding> {
  const key = routeKey(chart.request.hostname);
  const found = await routeOf(chart);
  if (found === undefined)
    return fail(`neither ${key} nor a wildcard`, {
      cause: "the dispatcher refuses the name with alert 112 (no_route)",
      fix: `redis-cli SET ${key} 13001 (the port or unix: path of its instance)`,
    });
  const parsed = parseRoute(found.value);
  if (!parsed.ok)
    return fail(`${found.key}: ${parsed.problem}`, {
      cause: "the dispatcher can't read it and refuses with alert 80 (bad_route)",
      fix: `redis-cli SET ${found.key} 13001`,
    });
  if (parsed.route.proxy !== "v2" && chart.config !== undefined)
    return fail(`${found.key} has proxy=${parsed.route.proxy}`, {
      cause:
        "an instance needs the PROXY header of the dispatcher, and of version 2 to know the connection's id; without it nobody is let in",
      fix: `redis-cli SET ${found.key} ${parsed.route.targets.map(formatTarget).join(",")}`,
    });
  return pass(`${found.key} = ${found.value}`);
}

async function dialTargets(chart: Chart): Promise<Finding> {
  const found = await routeOf(chart);
  const parsed = found && parseRoute(found.value);
  if (!parsed?.ok) return skip("needs config.route");
  const closed = await closedTargets(parsed.route);
  if (closed.length === 0) return pass(parsed.route.targets.map(formatTarget).join(", "));
  return fail(closed.join(", "), {
    cause:
      "the instance does not run, or listens elsewhere than its route says (where the doctor runs on another machine: it may be right there)",
    fix: `systemctl start gatehouse-instance@${chart.request.hostname}, or correct ${found?.key ?? "the route"}`,
  });
}

async function closedTargets({ targets }: Route): Promise<string[]> {
  const codes = await Promise.all(
    targets.map(async (target) => [target, await dial(placeOf(target))] as const),
  );
  return codes.flatMap(([target, code]) => (code === undefined ? [] : [`${formatTarget(target)}: ${code}`]));
}

function placeOf(target: Target): NetConnectOpts {
  return target.kind === "unix" ? { path: target.path } : { host: target.host, port: target.port };
}
