// One file at a time: see main.ts.
const { package: place, source, reportName } = JSON.parse(process.env.GATEHOUSE_MUTATED_FILE);

export default {
  testRunner: "jest",
  plugins: ["@stryker-mutator/jest-runner"],
  testRunnerNodeArgs: ["--experimental-vm-modules", "--disable-warning=ExperimentalWarning"],
  coverageAnalysis: "perTest",
  jest: { configFile: "scripts/mutation/jest.config.mjs", enableFindRelatedTests: false },
  mutate: [`packages/${place}/${source}`],
  ignorePatterns: [".cache", ".gatehouse", ".turbo", "docs"],
  concurrency: 2,
  // A mutant that hangs is killed by its time; a busy machine must not look like one.
  timeoutMS: 20_000,
  reporters: ["json", "progress-append-only"],
  jsonReporter: { fileName: reportName },
  tempDirName: ".cache/stryker",
};
