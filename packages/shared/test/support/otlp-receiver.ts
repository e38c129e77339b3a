import { once } from "node:events";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { doubleOf, integerOf, messages, packedOf, readMessage, textOf, type Message } from "./protobuf.ts";

/** One point of a metric, with what its metric says of it. */
interface ReceivedPoint {
  readonly kind: "gauge" | "sum" | "histogram";
  readonly unit: string;
  readonly isMonotonic: boolean;
  readonly isCumulative: boolean;
  readonly attributes: Readonly<Record<string, string | number>>;
  readonly value: number | undefined;
  readonly counts: readonly number[];
  readonly bounds: readonly number[];
}

/** One export, decoded (opentelemetry-proto, collector/metrics/v1). */
export interface ReceivedExport {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly resource: Readonly<Record<string, string | number>>;
  readonly points: ReadonlyMap<string, readonly ReceivedPoint[]>;
}

/** A collector of one's own. */
export class OtlpReceiver {
  readonly exports: ReceivedExport[] = [];
  readonly #server: Server;

  private constructor(answer: (response: ServerResponse) => void) {
    this.#server = createServer((request, response) => void this.#take(request, response, answer));
  }

  /** `answer` ends the response, or leaves the sender waiting. */
  static async start(
    answer = (response: ServerResponse): void => void response.end(),
  ): Promise<OtlpReceiver> {
    const receiver = new OtlpReceiver(answer);
    receiver.#server.listen(0, "127.0.0.1");
    await once(receiver.#server, "listening");
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  // oxlint-disable-next-line max-params -- Node's two, and what to do
  async #take(
    request: IncomingMessage,
    response: ServerResponse,
    answer: (response: ServerResponse) => void,
  ): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
    const [resourceMetrics] = messages(readMessage(Buffer.concat(parts)), 1);
    if (resourceMetrics === undefined) throw new Error("an export without metrics");
    const [resource] = messages(resourceMetrics, 1);
    const metrics = messages(resourceMetrics, 2).flatMap((scope) => messages(scope, 2));
    this.exports.push({
      path: request.url ?? "",
      headers: request.headers,
      resource: resource === undefined ? {} : attributesOf(resource, 1),
      points: new Map(metrics.map((metric) => [textOf(metric, 1), pointsOf(metric)])),
    });
    response.writeHead(200, { "content-type": "application/x-protobuf" });
    answer(response);
  }
}

const KINDS = new Map([
  [5, "gauge"],
  [7, "sum"],
  [9, "histogram"],
] as const);

function pointsOf(metric: Message): ReceivedPoint[] {
  return [...KINDS].flatMap(([field, kind]) =>
    messages(metric, field).flatMap((data) =>
      messages(data, 1).map((point) => ({
        kind,
        unit: textOf(metric, 3),
        isMonotonic: integerOf(data, 3) === 1,
        isCumulative: integerOf(data, 2) === 2,
        attributes: attributesOf(point, kind === "histogram" ? 9 : 7),
        value: kind === "histogram" ? doubleOf(point, 5) : (doubleOf(point, 4) ?? integerOf(point, 6)),
        counts: packedOf(point, 6, (bytes, at) => Number(bytes.readBigUInt64LE(at))),
        bounds: packedOf(point, 7, (bytes, at) => bytes.readDoubleLE(at)),
      })),
    ),
  );
}

function attributesOf(message: Message, field: number): Record<string, string | number> {
  return Object.fromEntries(
    messages(message, field).map((pair) => {
      const [value] = messages(pair, 2);
      if (value === undefined) throw new Error("an attribute without value");
      return [textOf(pair, 1), integerOf(value, 3) ?? textOf(value, 1)];
    }),
  );
}
