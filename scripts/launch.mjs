// `node scripts/launch.mjs SCRIPT.ts [ARGUMENT...]`: runs a script of this folder under the pinned Node, whatever Node PATH has.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { pinnedNode, ROOT } from "./prepare.mjs";

const [script = "", ...args] = process.argv.slice(2);
if (!existsSync(join(ROOT, "packages/shared/dist"))) {
  process.stderr.write("not built yet: npm run demo or npm test does it\n");
  process.exitCode = 1;
} else {
  const { status } = spawnSync(pinnedNode(), [join(ROOT, "scripts", script), ...args], { stdio: "inherit" });
  process.exitCode = status ?? 1;
}
