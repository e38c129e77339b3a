import type { EXPORTED } from "../../metric-docs.ts";

/** The metrics and labels of a query; everything else in it is a function, a number or a word of the language. */
export function readExpression(expression: string): { names: string[]; labels: string[] } {
  const labels: string[] = [];
  const bare = expression
    .replaceAll(/\{([^}]*)\}/g, (_all, selectors: string) => {
      labels.push(...[...selectors.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = ""]) => label));
      return "";
    })
    .replaceAll(/\b(?:by|on|group_left)\s*\(([^)]*)\)/g, (_all, list: string) => {
      labels.push(...list.split(",").map((label) => label.trim()));
      return "";
    })
    .replaceAll(/label_values\((\w+), (\w+)\)/g, (_all, name: string, label: string) => {
      labels.push(label);
      return name;
    });
  const words = bare.match(/\$?\b[a-z]\w*_\w+\b(?!\s*\()/g) ?? [];
  return { names: words.filter((word) => !word.startsWith("$")), labels };
}

/** The labels of all metrics, as Prometheus writes them. */
export function labelsOf(exported: typeof EXPORTED): string[] {
  return Object.values(exported)
    .flat()
    .flatMap(({ labels = [] }) => [...labels].map((label) => label.replaceAll(".", "_")));
}
