import { ConsoleSink } from "@gatehouse/shared/console-sink";
import { inheritedListeners } from "@gatehouse/shared/listen-address";
import { runProcess } from "@gatehouse/shared/process-lifecycle";
import { openRecords } from "@gatehouse/shared/process-records";
import { readConfig } from "@gatehouse/shared/read-config";
import { dispatcherOptions } from "./config.ts";
import { Dispatcher } from "./dispatcher.ts";

await runProcess(process.env, async () => {
  const config = readConfig(dispatcherOptions, process.env);
  const log = openRecords(config, {
    component: "dispatcher",
    name: "dispatcher",
    sinks: [new ConsoleSink()],
  });
  const dispatcher = new Dispatcher(config, log);
  await dispatcher.start(inheritedListeners(process.env, process.pid));
  return dispatcher;
});
