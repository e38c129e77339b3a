import { ConsoleSink } from "@gatehouse/shared/console-sink";
import { runProcess } from "@gatehouse/shared/process-lifecycle";
import { startInstance } from "./instance.ts";

await runProcess(() => startInstance({ env: process.env, pid: process.pid, sinks: [new ConsoleSink()] }));
