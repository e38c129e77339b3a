// One Jest at the root runs every package's tests; `test/gate-covers-every-test` fails when a *.test.ts is matched by no project.
const project = (name, rootDir) => ({
  displayName: name,
  rootDir,
  testEnvironment: "node",
  // Our own packages from source. Not by the "source" condition, under which some dependencies offer TypeScript as well.
  moduleNameMapper: {
    "^@gatehouse/(shared|dispatcher|instance)/(.*)$": `${import.meta.dirname}/packages/$1/src/$2.ts`,
  },
  extensionsToTreatAsEsm: [".ts"],
  transform: { "\\.ts$": `${import.meta.dirname}/jest.strip.mjs` },
  testMatch: ["<rootDir>/**/*.test.ts"],
  testPathIgnorePatterns: ["/node_modules/", "/dist/"],
});

export default {
  projects: [
    project("shared", "<rootDir>/packages/shared"),
    project("dispatcher", "<rootDir>/packages/dispatcher"),
    project("instance", "<rootDir>/packages/instance"),
    project("scripts", "<rootDir>/scripts"), // the testbed included
    project("deploy", "<rootDir>/deploy"),
  ],
  reporters: ["default", `${import.meta.dirname}/jest.verdict.mjs`],
  testTimeout: 60_000,
  maxWorkers: 2,
};
