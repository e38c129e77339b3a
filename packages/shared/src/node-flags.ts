/**
 * Flags of Node that the processes are started with; the units and the Dockerfile have the same, which a test holds them to.
 *
 * V8 lets what is new grow to 32 MiB, three times over, before it looks for what is still in use: memory that a burst of connections
 * leaves behind. Here next to nothing outlives its connection or request, so that looking earlier costs little: with 2 MiB a
 * dispatcher holds 6 KiB for an idle connection instead of 18, for 3 % of the CPU of a new one; with 8 an instance holds 96 KiB for
 * an event stream instead of 136, and requests cost the same (docs/adr/0017-a-small-young-generation.md).
 * `--expose-gc` is for what a process at rest gives back (`rest-collection.ts`).
 */
export const NODE_FLAGS = {
  dispatcher: ["--max-semi-space-size=2", "--expose-gc"],
  instance: ["--max-semi-space-size=8", "--expose-gc"],
} as const;
