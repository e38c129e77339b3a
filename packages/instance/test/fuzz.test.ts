/** The short run: everything that a fuzz target has kept, and some thousand inputs made by fast-check. `pnpm fuzz` is the long one. */
import { join } from "node:path";
import { shortFuzz } from "@gatehouse/testbed/fuzz/short-fuzz";
import { target as challenge } from "./fuzz/challenge.fuzz.ts";
import { target as redirectUri } from "./fuzz/redirect-uri.fuzz.ts";
import { target as requestTarget } from "./fuzz/request-target.fuzz.ts";

shortFuzz([requestTarget, challenge, redirectUri], join(import.meta.dirname, "fuzz"));
