import { lookup } from "node:dns/promises";
import { AddressList } from "@gatehouse/shared/address";
import type { Chart } from "./chart.ts";
import { dial } from "./dial.ts";
import { fail, pass, skip, type Finding, type Step } from "./step.ts";
import { codeOf } from "./wire.ts";

/** Not reachable from the internet (RFC 6890): private, loopback, link-local, shared address space. */
const INNER_BLOCKS = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "::1/128",
  "fc00::/7",
  "fe80::/10",
];

/** From a name to a connection. */
export const reachSteps: readonly Step[] = [
  {
    id: "dns.resolve",
    title: "the name resolves",
    clause: "RFC 1035 3.4.1, RFC 3596 2.1",
    run: resolveName,
  },
  {
    id: "dns.public",
    title: "its addresses are reachable from the internet",
    clause: "RFC 6890 2.2",
    needs: ["dns.resolve"],
    run: judgeAddresses,
  },
  {
    id: "tcp.connect",
    title: "each address takes a connection",
    clause: "RFC 9293 3.5",
    run: reachAddresses,
  },
];

async function resolveName(chart: Chart): Promise<Finding> {
  const { address, hostname } = chart.request;
  if (address !== undefined) return skip(`--address: ${address.host} is used, whatever DNS says`);
  try {
    const found = await lookup(hostname, { all: true });
    chart.addresses = found.map((one) => one.address);
    return pass(`${hostname} is ${chart.addresses.join(", ")}`);
  } catch (error) {
    const code = codeOf(error);
    return fail(`${hostname} does not resolve here: ${code}`, {
      cause:
        code === "EAI_AGAIN"
          ? "the resolver of this machine does not answer"
          : "there is no A or AAAA record for it",
      fix: `add an A (and AAAA) record for ${hostname} at your DNS provider; until then: --address ADDRESS:PORT`,
    });
  }
}

async function judgeAddresses({ addresses, request }: Chart): Promise<Finding> {
  if (request.address !== undefined) return skip("--address: DNS was not asked");
  const blocks = AddressList.parse(INNER_BLOCKS);
  const inner = addresses.filter((one) => blocks.ok && blocks.list.has(one));
  if (inner.length === 0) return pass("no private, loopback or link-local address among them");
  return fail(`${inner.join(", ")} can't be reached from the internet`, {
    cause:
      "the record names an inner address, or this resolver is split-horizon or has an entry in /etc/hosts",
    fix: `point ${request.hostname} at the public address of the dispatcher; hosted clients (Claude, ChatGPT) come from outside`,
  });
}

async function reachAddresses(chart: Chart): Promise<Finding> {
  const { host, port } = chart.place;
  const hosts = chart.request.address === undefined ? chart.addresses : [host];
  if (hosts.length === 0) return skip("needs dns.resolve");
  const failures: { readonly host: string; readonly code: string }[] = [];
  for (const one of hosts) {
    const code = await dial({ host: one, port });
    if (code !== undefined) failures.push({ host: one, code });
  }
  const good = hosts.filter((one) => failures.every((failure) => failure.host !== one));
  chart.addresses = good.length > 0 ? good : chart.addresses;
  const [first] = failures;
  if (first === undefined) return pass(`${good.join(", ")}: port ${port} is open`);
  const said = failures.map((failure) => `${failure.host}: ${failure.code}`).join(", ");
  return fail(`port ${port} takes no connection: ${said}`, whyUnreachable(first.code, port));
}

function whyUnreachable(code: string, port: number): { cause: string; fix: string } {
  if (code === "ECONNREFUSED")
    return {
      cause:
        "the machine answers, and nothing listens there: the dispatcher does not run, or on another port",
      fix: `start the dispatcher with GATEHOUSE_DISPATCHER_LISTEN=0.0.0.0:${port},[::]:${port}`,
    };
  if (code === "ETIMEDOUT")
    return {
      cause: "packets are dropped: a firewall, a security group, or a machine that is off",
      fix: `let TCP ${port} in from everywhere, at the provider and on the machine`,
    };
  return {
    cause: "there is no way to that address from here, such as IPv6 without a route",
    fix: "correct the address of the name, or take away its AAAA record while IPv6 does not work",
  };
}
