import { authorizeSteps } from "./authorize-steps.ts";
import { cleanupSteps } from "./cleanup-steps.ts";
import { clientSteps } from "./client-steps.ts";
import { configSteps } from "./config-steps.ts";
import { discoverySteps } from "./discovery-steps.ts";
import { httpSteps } from "./http-steps.ts";
import { mcpSteps } from "./mcp-steps.ts";
import { reachSteps } from "./reach-steps.ts";
import { recordSteps } from "./record-steps.ts";
import type { Step } from "./step.ts";
import { tlsSteps } from "./tls-steps.ts";
import { tokenSteps } from "./token-steps.ts";

/** Every step, in the order in which they are taken. */
export const STEPS: readonly Step[] = [
  ...configSteps,
  ...reachSteps,
  ...tlsSteps,
  ...httpSteps,
  ...discoverySteps,
  ...clientSteps,
  ...authorizeSteps,
  ...tokenSteps,
  ...mcpSteps,
  ...cleanupSteps,
  ...recordSteps,
];
