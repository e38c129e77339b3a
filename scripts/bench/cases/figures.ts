import { GIB, type Figure } from "../case.ts";
import { BARE_NODE, BARE_NODE_HANDLE } from "../peers/bare-chain.ts";
import type { Sample } from "../sample.ts";

/** Microseconds of CPU of all processes for one unit of work. */
export const cpuPerUnit = (sample: Sample): number => (sample.chainCpu / sample.units) * 1e6;

/** Seconds of CPU of all processes for a GiB. */
export const cpuPerGib = (sample: Sample): number => sample.chainCpu / (sample.octets / GIB);

/** Units of work done in a second of CPU of all processes. */
export const unitsPerCpuSecond = (sample: Sample): number => sample.units / sample.chainCpu;

/** The same figure against other peers, without a ratio to reach. */
export function besides(figure: Figure, peers: readonly string[]): readonly Figure[] {
  const { reach: _reach, prototype: _prototype, ...rest } = figure;
  return peers.map((peer) => ({ ...rest, id: `${figure.id}-${peer}`, peer }));
}

/** The same work done by another contender against the same peers, without a ratio to reach. */
export function doneBy(subject: string, called: string, figures: readonly Figure[]): readonly Figure[] {
  return figures.map(({ reach: _reach, prototype: _prototype, ...figure }) => ({
    ...figure,
    id: `${figure.id}-${subject}`,
    work: `${called}, ${figure.work}`,
    subject,
  }));
}

/** What Node by itself reaches against the same peers: the part of a figure that is not Gatehouse's to change. */
export function ofNodeAlone(
  figures: readonly Figure[],
  subjects: readonly string[] = [BARE_NODE],
): readonly Figure[] {
  return subjects.flatMap((subject) =>
    doneBy(subject, subject === BARE_NODE_HANDLE ? "Node alone with `handle`" : "Node alone", figures),
  );
}
