import { connect as connectHttp2 } from "node:http2";
import { once } from "node:events";
import type { Chart } from "./chart.ts";
import { dropSession } from "./drop-session.ts";
import { parseObject, textIn } from "./json.ts";
import { initializeCall } from "./mcp-call.ts";
import { fail, pass, skip, type Finding, type Step } from "./step.ts";
import { codeOf, type Answer } from "./wire.ts";

/** Tokens and certificates are lenient to a minute or so; RFC 7519 4.1.4 says "a few minutes". */
const CLOCK_TOLERANCE_MS = 120_000;
const HTTP2_TIMEOUT_MS = 10_000;

const VERIFIED = ["tls.chain", "tls.name", "tls.dates"];

/** The host answers, as itself. */
export const httpSteps: readonly Step[] = [
  {
    id: "http.serves",
    title: "the instance serves this name and port",
    clause: "RFC 9110 15.5.20, 15.6.4",
    needs: VERIFIED,
    run: callEndpoint,
  },
  {
    id: "http.foreign-host",
    title: "a request for another host on this connection is refused (421)",
    clause: "RFC 9110 7.4",
    needs: ["http.serves"],
    run: nameAnotherHost,
  },
  {
    id: "http.h2",
    title: "the same answer over HTTP/2",
    clause: "RFC 9113 3.2",
    needs: ["http.serves"],
    run: callOverHttp2,
  },
  {
    id: "http.clock",
    title: "its clock and this one agree",
    clause: "RFC 9110 6.6.1, RFC 7519 4.1.4",
    needs: ["http.serves"],
    run: compareClocks,
  },
  {
    id: "http.protection",
    title: "the endpoint is as open, or as protected, as it is meant to be",
    clause: "RFC 9728 2, RFC 6750 3",
    needs: ["http.serves"],
    run: judgeProtection,
  },
];

async function callEndpoint(chart: Chart): Promise<Finding> {
  let answer: Answer;
  try {
    answer = await chart.wire.call(chart.endpoint, initializeCall());
  } catch (error) {
    return fail(`no answer over HTTPS: ${codeOf(error)}`, {
      cause: "the connection broke behind the handshake, or the upstream keeps its answer to itself",
      fix: `scripts/gatehouse log hostname ${chart.request.hostname} --since 5m`,
    });
  }
  chart.unauthorized = answer;
  await dropSession(chart, answer.headers["mcp-session-id"]);
  const word = textIn(parseObject(answer.text), "error") ?? "";
  const why = whyNotServed(chart, answer.status, word);
  return why === undefined
    ? pass(`POST ${chart.endpoint.pathname} without a token: ${answer.status}`)
    : fail(`POST ${chart.endpoint.pathname}: ${answer.status} ${word}`, why);
}

/** What an instance says in its upstream's place (docs/errors.md). */
function whyNotServed(
  { request }: Chart,
  status: number,
  word: string,
): { cause: string; fix: string } | undefined {
  const key = `proxy:${request.hostname}`;
  switch (`${status} ${word}`) {
    case "421 misdirected":
      return {
        cause: `the instance does not know itself as ${request.hostname} with port ${request.port}: it has another public port, or serves another name`,
        fix: `GATEHOUSE_PUBLIC_PORT=${request.port} for the instance, and route:${request.hostname} to the instance of that name`,
      };
    case "404 disabled":
      return { cause: `enabled is false, or ${key} is gone`, fix: `set "enabled": true in ${key}` };
    case "503 maintenance":
      return { cause: "maintenance is true", fix: `set "maintenance": false in ${key}` };
    case "503 authorization_unavailable":
      return {
        cause:
          "the host is protected and lacks what that needs: a GitHub app (or OIDC provider), GATEHOUSE_SECRET_KEY, or Redis at its start",
        fix: `GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET for the instance, or github_client_id and github_client_secret in ${key}`,
      };
    case "503 stopping":
      return { cause: "the instance is draining", fix: `start the instance of ${request.hostname} again` };
    default:
      return undefined;
  }
}

async function nameAnotherHost(chart: Chart): Promise<Finding> {
  const { status } = await chart.wire.call(chart.endpoint, { headers: { host: "doctor.invalid" } });
  if (status === 421) return pass("421 Misdirected Request");
  return fail(`Host: doctor.invalid is answered with ${status}`, {
    cause: "what ends TLS here is no instance of Gatehouse, or a proxy in between rewrites Host",
    fix: `route:${chart.request.hostname} to the instance itself`,
  });
}

async function callOverHttp2(chart: Chart): Promise<Finding> {
  const expected = chart.unauthorized?.status;
  const { method = "POST", headers = {}, body } = initializeCall();
  const { host, port, servername, ca } = chart.place;
  const authority = host.includes(":") ? `[${host}]` : host;
  const session = connectHttp2(`https://${authority}:${port}`, { servername, ...(ca && { ca }) });
  session.on("error", () => undefined);
  try {
    const stream = session.request({
      ...headers,
      ":method": method,
      ":path": chart.endpoint.pathname,
      ":authority": chart.endpoint.host,
    });
    stream.on("error", () => undefined);
    stream.end(body);
    const signal = AbortSignal.timeout(HTTP2_TIMEOUT_MS);
    const [head] = (await once(stream, "response", { signal })) as [Record<string, unknown>];
    await dropSession(chart, head["mcp-session-id"]);
    if (head[":status"] === expected) return pass(`${String(expected)} over HTTP/2 too`);
    return fail(`${String(head[":status"])} over HTTP/2, ${String(expected)} over HTTP/1.1`, {
      cause: "something in between treats the two protocols differently",
      fix: `route:${chart.request.hostname} to the instance itself`,
    });
  } catch (error) {
    return fail(`HTTP/2 fails: ${codeOf(error)}`, {
      cause: "something in between offers h2 and does not speak it",
      fix: "take it out of the way, or stop it from offering h2",
    });
  } finally {
    session.destroy();
  }
}

async function compareClocks(chart: Chart): Promise<Finding> {
  const { headers, receivedAt } = chart.unauthorized ?? {};
  if (headers?.date === undefined || receivedAt === undefined) return skip("the answer carries no Date");
  const aheadMs = Date.parse(headers.date) - receivedAt;
  const seconds = Math.round(Math.abs(aheadMs) / 1000);
  if (Math.abs(aheadMs) <= CLOCK_TOLERANCE_MS) return pass(`${seconds} s apart`);
  return fail(`the host's clock is ${seconds} s ${aheadMs > 0 ? "ahead of" : "behind"} this one`, {
    cause: "one of the two clocks is wrong: tokens look expired, or not yet valid",
    fix: "run NTP (timedatectl set-ntp true) on the host, on its upstream and here",
  });
}

async function judgeProtection(chart: Chart): Promise<Finding> {
  const { unauthorized, config, request } = chart;
  const status = unauthorized?.status ?? 0;
  const challenge = unauthorized?.headers["www-authenticate"] ?? "";
  const { text } = await chart.wire.call(
    chart.at(`/.well-known/oauth-protected-resource${chart.endpoint.pathname}`),
  );
  const claimed = textIn(parseObject(text), "resource");
  chart.isProtected = status === 401;
  if (chart.isProtected)
    return pass(`protected: 401, ${challenge.split(" ", 1)[0] || "without a challenge"}`);
  if (claimed !== undefined || config?.auth_enabled === true)
    return fail(`the endpoint answers ${status} without a token, although this host is protected`, {
      cause:
        "auth_excluded_paths covers the endpoint, or resource_endpoint names another path than the one called",
      fix: `take ${chart.endpoint.pathname} out of auth_excluded_paths in proxy:${request.hostname}, or correct resource_endpoint`,
    });
  return pass(`open: ${status} without a token, and nothing here claims to be protected`);
}
