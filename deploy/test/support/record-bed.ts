import type { GatehouseProcess } from "./gatehouse-process.ts";
import type { GatehouseSpec } from "./gatehouse.ts";
import { LeakyUpstream } from "./leaky-upstream.ts";
import { ProtectedGatehouse, type ProtectedHostSpec } from "./protected-gatehouse.ts";
import type { PrintedRecord } from "./record-reader.ts";
import { WirePeer } from "./wire-peer.ts";

/** A Gatehouse whose records are asked for, one deed after the other. */
export class RecordBed {
  readonly upstream: LeakyUpstream;
  readonly protected: ProtectedGatehouse;
  readonly peer: WirePeer;

  private constructor(upstream: LeakyUpstream, started: ProtectedGatehouse) {
    this.upstream = upstream;
    this.protected = started;
    this.peer = new WirePeer(started.gatehouse);
  }

  static async start(
    hosts: readonly Omit<ProtectedHostSpec, "upstreamUrl">[],
    dispatcherEnv: GatehouseSpec["dispatcherEnv"] = {},
  ): Promise<RecordBed> {
    const upstream = await LeakyUpstream.start((slot) => slot);
    const instanceEnv = { LOG_LEVEL: "debug" };
    const started = await ProtectedGatehouse.start(
      hosts.map((host) => ({ ...host, upstreamUrl: upstream.url })),
      { instanceEnv, dispatcherEnv: { LOG_LEVEL: "debug", ...dispatcherEnv } },
    );
    return new RecordBed(upstream, started);
  }

  get gatehouse(): ProtectedGatehouse["gatehouse"] {
    return this.protected.gatehouse;
  }

  /** `dispatcher`, or the instance of a hostname. */
  process(where: string): GatehouseProcess {
    return where === "dispatcher" ? this.gatehouse.dispatcher : this.gatehouse.instance(where);
  }

  /** Does something and returns the record it leaves there. */
  async recordOf(where: string, deed: () => unknown, matches: RegExp): Promise<PrintedRecord> {
    const process = this.process(where);
    const since = process.records.count;
    const done = deed();
    const record = await process.awaitRecord(matches, { since });
    await done;
    return record;
  }

  async stop(): Promise<void> {
    await this.protected.stop();
    this.upstream.close();
  }
}

/** The ids that a record prints. */
export function idsOf({ text }: PrintedRecord): { readonly conn?: string; readonly req?: string } {
  return /Ids: conn=(?<conn>\S+)(?: req=(?<req>\S+))?/.exec(text)?.groups ?? {};
}
