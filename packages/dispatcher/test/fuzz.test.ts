/** The short run: everything that a fuzz target has kept, and some thousand inputs made by fast-check. `pnpm fuzz` is the long one. */
import { join } from "node:path";
import { shortFuzz } from "@gatehouse/testbed/fuzz/short-fuzz";
import { target as clientHello } from "./fuzz/client-hello.fuzz.ts";
import { target as helloStack } from "./fuzz/hello-stack.fuzz.ts";

shortFuzz([clientHello], join(import.meta.dirname, "fuzz"));
// A real handshake for each.
shortFuzz([helloStack], join(import.meta.dirname, "fuzz"), { numRuns: 700 });
