/** The short run: everything that a fuzz target has kept, and some thousand inputs made by fast-check. `pnpm fuzz` is the long one. */
import { join } from "node:path";
import { shortFuzz } from "@gatehouse/testbed/fuzz/short-fuzz";
import { target as documents } from "./fuzz/documents.fuzz.ts";
import { target as operatorText } from "./fuzz/operator-text.fuzz.ts";
import { target as proxyHeader } from "./fuzz/proxy-header.fuzz.ts";

shortFuzz([proxyHeader, operatorText, documents], join(import.meta.dirname, "fuzz"));
