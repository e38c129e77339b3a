/** The alert rules ask for what is exported, and the runbook knows each of them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { EVENTS } from "@gatehouse/shared/log-record";
import { prometheusName } from "@gatehouse/shared/prometheus-text";
import { REFUSAL_REASONS } from "@gatehouse/dispatcher/tls-alert";
import { EXPORTED } from "../metric-docs.ts";
import { labelsOf, readExpression } from "./support/prometheus-expression.ts";

const root = join(import.meta.dirname, "../..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");

interface Rule {
  readonly alert: string;
  readonly expression: string;
  readonly severity: string | undefined;
  readonly summary: string | undefined;
}

/** A rule is a few lines of the one form that this file has; no parser of all of YAML is needed to read it. */
const rules: readonly Rule[] = read("deploy/prometheus/alerts.yaml")
  .split(/^ {6}- alert: /m)
  .slice(1)
  .map((text) => ({
    alert: text.split("\n")[0] ?? "",
    expression: /^ {8}expr: (.*)$/m.exec(text)?.[1] ?? "",
    severity: /^ {8}labels: \{ severity: (page|ticket) \}$/m.exec(text)?.[1],
    summary: /^ {8}annotations:\n {10}summary: "(.+)"$/m.exec(text)?.[1],
  }));

/** What a page of metrics holds for each of the catalogs', and who it is of. */
const exported = new Set([
  ...Object.values(EXPORTED)
    .flat()
    .flatMap((definition) => {
      const name = prometheusName(definition);
      return definition.kind === "histogram" ? [`${name}_bucket`, `${name}_count`, `${name}_sum`] : [name];
    }),
  "target_info",
]);
/** Prometheus' own, and those of `target_info` (metrics.test.ts has them from a running process). */
const labels = new Set([...labelsOf(EXPORTED), "instance", "job", "service_name", "gatehouse_hostname"]);

describe("an alert", () => {
  test("is told apart, has a severity and a sentence", () => {
    expect(rules.length).toBeGreaterThan(10);
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
    for (const { alert, severity, summary } of rules)
      expect([alert, severity, summary]).toEqual([alert, expect.any(String), expect.any(String)]);
  });

  test("asks only for metrics and labels that exist", () => {
    for (const { alert, expression } of rules) {
      const used = readExpression(expression);
      expect([alert, used.names.length > 0]).toEqual([alert, true]);
      expect([alert, used.names.filter((name) => !exported.has(name))]).toEqual([alert, []]);
      expect([alert, used.labels.filter((label) => !labels.has(label))]).toEqual([alert, []]);
    }
  });

  test.each([
    ["event", EVENTS],
    ["reason", REFUSAL_REASONS],
    ["outcome", ["ended", "refused"]],
  ])("compares the label %s with words that it can have", (label, words) => {
    const known = new Set<string>(words);
    const selector = new RegExp(`\\b${label}=~?"([^"]*)"`, "g");
    const compared = rules.flatMap(({ expression }) =>
      [...expression.matchAll(selector)].flatMap(([, text = ""]) => text.split("|")),
    );
    expect(compared.length).toBeGreaterThan(0);
    expect(compared.filter((word) => !known.has(word))).toEqual([]);
  });

  test("of descriptors knows the limit of the unit", () => {
    const [, limit] = /^LimitNOFILE=(\d+)$/m.exec(read("deploy/systemd/gatehouse-instance@.service")) ?? [];
    const { expression } = rules.find(({ alert }) => alert === "GatehouseDescriptorsShort") ?? {};
    expect(expression).toMatch(new RegExp(`> 0\\.8 \\* ${limit}$`));
  });

  test("has its row in the runbook, with the same severity, and no row is without alert", () => {
    const section = read("docs/operations.md").split("\n## Alerts\n")[1]?.split("\n## ")[0] ?? "";
    const rows = [...section.matchAll(/^\| `(\w+)` \| (\w+) \| .+ \| .+ \|$/gm)];
    const listed = rows.map(([, alert, severity]) => `${alert} ${severity}`);
    expect(listed).toEqual(rules.map(({ alert, severity }) => `${alert} ${severity}`));
  });
});
