import { ConsoleSink } from "@gatehouse/shared/console-sink";
import { runProcess } from "@gatehouse/shared/process-lifecycle";
import { startInstance } from "./instance.ts";

const { env, pid } = process;
await runProcess(env, () => startInstance({ env, pid, sinks: [new ConsoleSink()] }));
