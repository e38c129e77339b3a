import { connections } from "./connections.ts";
import type { Growth } from "./growth.ts";
import { hostConfigs } from "./host-configs.ts";
import { idle } from "./idle.ts";
import { instances } from "./instances.ts";
import { routes } from "./routes.ts";

/** Every curve, in the order of the report. */
export const CURVES: readonly Growth[] = [connections, idle, routes, instances, hostConfigs];
