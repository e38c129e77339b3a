// Jest transformer: Node's own type stripping. Columns and lines are kept, so stack traces need no source map.
import { createHash } from "node:crypto";
import { stripTypeScriptTypes } from "node:module";

export default {
  getCacheKey: (source, file, options) =>
    createHash("sha256")
      .update(source)
      .update(file)
      .update(process.version)
      .update(String(options.instrument))
      .digest("hex"),
  process: (source) => ({ code: stripTypeScriptTypes(source, { mode: "strip" }) }),
};
