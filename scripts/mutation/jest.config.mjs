// Jest as Stryker runs it: one package, and of its tests those that are named. Stryker's copy of the tree has this file as well, so paths hold.
import jestConfig from "../../jest.config.mjs";

const { package: name, tests } = JSON.parse(process.env.GATEHOUSE_MUTATED_FILE);
const {
  rootDir,
  displayName: _,
  ...project
} = jestConfig.projects.find(({ displayName }) => displayName === name);

export default {
  ...project,
  rootDir: rootDir.replace("<rootDir>", `${import.meta.dirname}/../..`),
  testMatch: tests.map((test) => `<rootDir>/test/${test}.test.ts`),
  testTimeout: jestConfig.testTimeout,
};
