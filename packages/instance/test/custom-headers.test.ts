import { expect, test } from "@jest/globals";
import { RESERVED_CUSTOM_HEADERS } from "@gatehouse/shared/custom-header";
import { parseHostConfig } from "@gatehouse/shared/host-config";
import { planUpstream } from "../src/upstream.ts";

/** Names an operator may well want, near to those that are refused. */
const OTHERS =
  "accept authorization cache-control content-type cookie date forwarded origin te-x user-agent via x-api-key x-auth-other x-internal-a x-real-ip".split(
    " ",
  );

test("what the command line refuses among the custom headers is what would never be sent", () => {
  const names = [...RESERVED_CUSTOM_HEADERS, ...OTHERS];
  const document = {
    target_url: "http://127.0.0.1:1",
    custom_headers: Object.fromEntries(names.map((name) => [name.toUpperCase(), "x"])),
  };
  const parsed = parseHostConfig(JSON.stringify(document));
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  expect([...planUpstream(parsed.config).headers.customNames]).toEqual(OTHERS);
});
