import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { parentPort, workerData } from "node:worker_threads";
import { AcmeClient, useTransport } from "./library.ts";
import { orderCertificate } from "./order.ts";
import type { OrderInput, OrderResult, OrderStep } from "./order-messages.ts";
import { renewalInfoUrl } from "./renewal-info.ts";
import { AcmeTransport } from "./transport.ts";

/** An authority's words are kept short. */
const MAX_REASON_LENGTH = 500;

/** The thread of one order; whoever started it ends it, at any time. */
const port = parentPort;
if (port === null) throw new TypeError("an order has a thread of its own");

/** Has something stored, and waits until it is. */
async function step(message: OrderStep): Promise<void> {
  port?.postMessage(message);
  if (port) await once(port, "message");
}

async function openClient({ account, directoryUrl, email }: OrderInput): Promise<AcmeClient> {
  if (account) {
    return new AcmeClient({ directoryUrl, accountKey: account.key_pem, accountUrl: account.url });
  }
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const keyPem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const client = new AcmeClient({ directoryUrl, accountKey: keyPem });
  await client.createAccount({ termsOfServiceAgreed: true, contact: [`mailto:${email}`] });
  await step({ kind: "account", account: { key_pem: keyPem, url: client.getAccountUrl() } });
  return client;
}

async function order(input: OrderInput, transport: AcmeTransport): Promise<OrderResult> {
  try {
    const client = await openClient(input);
    const { hostname, challengeType, directoryUrl } = input;
    // An authority without renewal information may refuse a member it does not know.
    const isInformed =
      input.replaces !== undefined && (await renewalInfoUrl(transport, directoryUrl)) !== undefined;
    const pair = await orderCertificate({
      client,
      transport,
      hostname,
      challengeType,
      replaces: isInformed ? input.replaces : undefined,
      publish: (challenge) => step({ kind: "challenge", challenge }),
    });
    return { kind: "issued", pair };
  } catch (error) {
    const { problem, retryAfterMs } = transport;
    const isAccountUnknown = problem?.type.endsWith(":accountDoesNotExist") === true;
    const reason = reasonOf(error as Error);
    return { kind: "failed", reason, retryAfterMs: problem && retryAfterMs, isAccountUnknown };
  }
}

/** undici puts the reason of a failed connection into `cause`. */
function reasonOf(error: Error): string {
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : "";
  return `${error.message || error.name}${cause}`.slice(0, MAX_REASON_LENGTH);
}

const input = workerData as OrderInput;
const transport = new AcmeTransport({ roots: input.roots });
useTransport(transport);
port.postMessage(await order(input, transport));
