// Preloaded into processes whose memory a test compares: SIGUSR2 collects garbage, so that what is measured is what is held and not
// what V8 has not found time to give back.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");
let isDue = false;
// Signals that came while the last one was served are one: each would hold the process up once more, for minutes in the end.
process.on("SIGUSR2", () => {
  if (isDue) return;
  isDue = true;
  setImmediate(() => {
    isDue = false;
    collect({ type: "major", flavor: "last-resort" });
  });
});
