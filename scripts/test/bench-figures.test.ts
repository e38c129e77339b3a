import { expect, test } from "@jest/globals";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { isLoadBound } from "../bench/bottleneck.ts";
import type { Case, Figure } from "../bench/case.ts";
import { coreShares, parseCoreTimes } from "../bench/core-time.ts";
import { plotSvg } from "../bench/curve-svg.ts";
import { installLine, missingPackages } from "../bench/debian-peers.ts";
import { CASES } from "../bench/cases/all.ts";
import { CURVES } from "../bench/growth/all.ts";
import { readBenchOptions } from "../bench/options.ts";
import { outcomeOf, spread } from "../bench/outcome.ts";
import { processTree, treeCpuSeconds, treeMemory } from "../bench/process-tree.ts";
import { benchmarksPage, curveTable } from "../bench/report.ts";
import { runCase } from "../bench/run-case.ts";
import type { Place } from "../bench/place.ts";
import type { Sample } from "../bench/sample.ts";
import { figureTable, short } from "../bench/table.ts";

const NOTHING: Sample = {
  units: 1000,
  failed: 0,
  octets: 0,
  seconds: 1,
  cpu: 0.1,
  p50: 1,
  p99: 2,
  chainCpu: 1,
  asideCpu: 0,
  chainIdle: 0,
  loadIdle: 0.5,
  steal: 0,
};
const FIGURE: Figure = {
  id: "work",
  work: "some work",
  unit: "us",
  better: "lower",
  reach: 1.2,
  subject: "gatehouse",
  peer: "haproxy",
  value: ({ chainCpu }) => chainCpu,
};
const SUBJECT: Case = {
  name: "work",
  title: "Work",
  figures: [FIGURE],
  open: async () => ({ contenders: [], sample: async () => NOTHING }),
};
const cpu = (...seconds: number[]): Sample[] => seconds.map((chainCpu) => ({ ...NOTHING, chainCpu }));

test("a ratio is the median of those of the rounds, not the ratio of the medians", () => {
  const samples = { gatehouse: cpu(1, 4, 30), haproxy: cpu(1, 2, 10) };
  const outcome = outcomeOf(SUBJECT, FIGURE, samples);
  expect(outcome.ratio).toEqual({ median: 2, min: 1, max: 3 });
  expect(outcome.subject.median).toBe(4);
  expect(outcome.isReached).toBe(false);
});

test("what is reached depends on which way is better", () => {
  const samples = { gatehouse: cpu(2), haproxy: cpu(1) };
  expect(outcomeOf(SUBJECT, FIGURE, samples).isReached).toBe(false);
  expect(outcomeOf(SUBJECT, { ...FIGURE, better: "higher" }, samples).isReached).toBe(true);
  const { reach: _reach, ...reported } = FIGURE;
  expect(outcomeOf(SUBJECT, reported, samples).isReached).toBeUndefined();
});

test("a value may be taken against another contender of the same round", () => {
  const added: Figure = {
    ...FIGURE,
    value: ({ chainCpu }, { direct }) => chainCpu - (direct?.chainCpu ?? 0),
  };
  const samples = { gatehouse: cpu(5, 6), haproxy: cpu(3, 4), direct: cpu(1, 2) };
  expect(outcomeOf(SUBJECT, added, samples).ratio.median).toBe(2);
});

test("spread of one value is that value", () => {
  expect(spread([3])).toEqual({ median: 3, min: 3, max: 3 });
});

test("a load generator without idle time beside a core that has some is the limit, and said to be", () => {
  expect(isLoadBound({ chainIdle: 0.3, loadIdle: 0.01 })).toBe(true);
  expect(isLoadBound({ chainIdle: 0.01, loadIdle: 0.01 })).toBe(false);
  expect(isLoadBound({ chainIdle: 0.3, loadIdle: 0.3 })).toBe(false);
  expect(isLoadBound({})).toBe(false);
  const bound = { ...NOTHING, chainIdle: 0.5, loadIdle: 0 };
  const outcome = outcomeOf(SUBJECT, FIGURE, { gatehouse: cpu(1, 1, 1), haproxy: [bound, bound, NOTHING] });
  expect(outcome.loadBound).toEqual(["haproxy"]);
  expect(figureTable([outcome])).toContain("load generator the limit for haproxy");
});

test("shares of a core come from two readings of /proc/stat", () => {
  const before = parseCoreTimes(
    "cpu  9 9 9 9\ncpu0 10 0 10 80 0 0 0 0 0 0\ncpu1 0 0 0 100 0 0 0 0 0 0\nintr 1",
  );
  const after = parseCoreTimes(
    "cpu  9 9 9 9\ncpu0 40 0 20 120 10 0 0 10 0 0\ncpu1 100 0 0 100 0 0 0 0 0 0\n",
  );
  const { idle, steal } = coreShares(before, after);
  expect(idle).toEqual([0.5, 0]);
  expect(steal).toBe(0.05);
});

test("the table has medians with their spread, the verdict and the prototype", () => {
  const samples = { gatehouse: cpu(1, 2, 3), haproxy: cpu(1, 1, 1) };
  const table = figureTable([outcomeOf(SUBJECT, { ...FIGURE, prototype: "1.5x" }, samples)]);
  expect(table).toContain(
    "| 1.00 (1.00-1.00) | 2.00 (1.00-3.00) | 2.00 (1.00-3.00) | <= 1.2x | **missed** | 1.5x |",
  );
});

test("numbers have three digits", () => {
  expect([0.012345, 1.2345, 123.45, 12345.6, 0, Number.NaN].map(short)).toEqual([
    "0.0123",
    "1.23",
    "123",
    "12346",
    "0",
    "-",
  ]);
});

test("a plot has a point for each value, from zero, and no colour that one background swallows", () => {
  const plot = {
    title: "a < b",
    x: "n",
    y: "us",
    series: [
      {
        name: "one",
        points: [
          [1, 10],
          [100, 20],
        ] as const,
      },
      {
        name: "other",
        points: [
          [1, 5],
          [100, 5],
        ] as const,
      },
    ],
  };
  const svg = plotSvg(plot);
  expect(svg.match(/<circle/g)).toHaveLength(4);
  expect(svg).toContain("a &lt; b");
  expect(svg).toContain('points="70.0,164.0 620.0,56.0"');
  expect(svg).not.toMatch(/#000|#fff|black|white/i);
  expect(curveTable(plot)).toContain("| 100 | 20.0 | 5.00 |");
});

test("a contender that loses more than a hundredth of its work ends the case, and its name is said", async () => {
  const entry = (name: string) => ({
    name,
    start: async () => ({ name, to: "1", pids: [], stop: async () => undefined }),
  });
  const broken: Case = {
    ...SUBJECT,
    open: async () => ({
      contenders: [entry("haproxy"), entry("gatehouse")],
      sample: async ({ name }) => ({ ...NOTHING, failed: name === "gatehouse" ? 20 : 0 }),
    }),
  };
  const options = readBenchOptions(["--quick"]);
  await expect(runCase(broken, {} as Place, options)).rejects.toThrow("gatehouse: 20 of 1020 units failed");
});

test("contenders take turns, after a round that is not counted, and a disturbed sample is taken again", async () => {
  const order: string[] = [];
  const stopped: string[] = [];
  const entry = (name: string) => ({
    name,
    start: async () => ({ name, to: "1", pids: [], stop: async () => void stopped.push(name) }),
  });
  const steals = [0, 0, 0.5, 0.01, 0, 0, 0];
  const taking: Case = {
    ...SUBJECT,
    open: async () => ({
      contenders: [entry("a"), entry("b")],
      sample: async ({ name }) => {
        order.push(name);
        return { ...NOTHING, seconds: 10, steal: steals[order.length - 1] ?? 0 };
      },
    }),
  };
  const samples = await runCase(taking, {} as Place, readBenchOptions(["--quick"]));
  expect(order.join("")).toBe("abbbaab");
  expect(samples["b"]?.map(({ steal }) => steal)).toEqual([0.01, 0]);
  expect(stopped.toSorted()).toEqual(["a", "b"]);
});

test("what is compiled at run is warmed up for longer, and in a case that says so for longer still", async () => {
  const order: string[] = [];
  const entry = (name: string, isCompiledAtRun: boolean) => ({
    name,
    start: async () => ({ name, to: "1", pids: [], isCompiledAtRun, stop: async () => undefined }),
  });
  const slow: Case = {
    ...SUBJECT,
    warmUpFactor: 2,
    rounds: () => 1,
    open: async () => ({
      contenders: [entry("c", false), entry("r", true)],
      sample: async ({ name }) => {
        order.push(name);
        return { ...NOTHING, seconds: 0.5 };
      },
    }),
  };
  await runCase(slow, {} as Place, readBenchOptions(["--quick"]));
  expect(order.join("")).toBe("crrrrrc");
});

test("CPU and memory of what a process starts are counted with it", async () => {
  const burn = "let t=Date.now();while(Date.now()-t<150);console.log(1);setTimeout(()=>0,60000)";
  const code = `require('node:child_process').spawn(process.execPath,['-e',${JSON.stringify(burn)}],{stdio:'inherit'});setTimeout(()=>0,60000)`;
  const parent = spawn(process.execPath, ["-e", code], { stdio: ["ignore", "pipe", "inherit"] });
  await once(parent.stdout, "data");
  const pid = parent.pid ?? 0;
  const tree = processTree(pid);
  try {
    expect(tree).toHaveLength(2);
    expect(treeCpuSeconds([tree[1] ?? 0])).toBeGreaterThan(0.05);
    expect(treeCpuSeconds([pid])).toBeGreaterThan(treeCpuSeconds([tree[1] ?? 0]));
    expect(treeMemory([pid])).toBeGreaterThan(treeMemory([tree[1] ?? 0]));
  } finally {
    for (const each of tree) process.kill(each);
  }
});

test("the words of the command; what is no whole run is not written to docs", () => {
  expect(readBenchOptions([]).out).toMatch(/\/docs$/);
  expect(readBenchOptions(["--", "--growth"]).out).toMatch(/\/docs$/);
  expect(readBenchOptions(["--quick"]).out).toMatch(/\.cache\/bench$/);
  expect(readBenchOptions(["--only", "splice,pairs"])).toMatchObject({ only: ["splice", "pairs"] });
  expect(readBenchOptions(["--only", "splice"]).out).toMatch(/\.cache\/bench$/);
  expect(() => readBenchOptions(["--fast"])).toThrow("--fast");
});

test("what is missing is said with the line that installs it", () => {
  const missing = missingPackages((file) => !file.includes("haproxy") && !file.includes("sniproxy"));
  expect(installLine(missing)).toBe("apt-get install -y --no-install-recommends haproxy sniproxy");
});

test("each figure has an id of its own, and so has each case and curve", () => {
  const ids = CASES.flatMap(({ figures }) => figures.map(({ id }) => id));
  expect(new Set(ids).size).toBe(ids.length);
  const names = [...CASES, ...CURVES].map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
});

test("the page has missed figures as well as reached ones, and links the raw data", () => {
  const outcomes = [
    outcomeOf(SUBJECT, FIGURE, { gatehouse: cpu(2), haproxy: cpu(1) }),
    outcomeOf(SUBJECT, { ...FIGURE, reach: 3 }, { gatehouse: cpu(2), haproxy: cpu(1) }),
  ];
  const run = {
    machine: { cores: "2 x Test" },
    rounds: 1,
    seconds: 1,
    samples: {},
    outcomes,
    cases: [SUBJECT],
  };
  const page = benchmarksPage(run, undefined);
  expect(page).toContain("1 of 2 figures reached");
  expect(page).toContain("**missed**");
  expect(page).toContain("(benchmarks/cases.json)");
});
