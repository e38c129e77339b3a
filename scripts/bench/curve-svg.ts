import { short } from "./table.ts";

/** One line of a plot. */
export interface Series {
  readonly name: string;
  /** In the order of x. */
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Plot {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly series: readonly Series[];
}

const WIDTH = 640;
const HEIGHT = 320;
const LEFT = 70;
const RIGHT = 20;
const TOP = 56;
const BOTTOM = 48;
/** Readable on white and on black alike. */
const COLOURS = ["#2f81f7", "#e0602f", "#2da44e", "#a371f7", "#b58900"];
const GREY = "#848d97";
const TICKS = 4;

/** Draws lines over a logarithmic x axis; y begins at zero, so that a slope is not made by the scale. */
export function plotSvg(plot: Plot): string {
  const points = plot.series.flatMap(({ points: all }) => all);
  const logs = points.map(([x]) => Math.log10(x));
  const [low, high] = [Math.min(...logs), Math.max(...logs)];
  const top = roundUp(Math.max(...points.map(([, y]) => y)));
  const place = ([x, y]: readonly [number, number]): readonly [number, number] => [
    LEFT + ((Math.log10(x) - low) / (high - low || 1)) * (WIDTH - LEFT - RIGHT),
    HEIGHT - BOTTOM - (y / top) * (HEIGHT - TOP - BOTTOM),
  ];
  const xs = [...new Set(points.map(([x]) => x))].toSorted((one, other) => one - other);
  const parts = [
    text([LEFT, 20], plot.title, 'font-weight="bold" font-size="14"'),
    text([LEFT, TOP - 8], plot.y),
    text([WIDTH - RIGHT, HEIGHT - 8], plot.x, 'text-anchor="end"'),
    ...Array.from({ length: TICKS + 1 }, (_, n) =>
      gridLine(place([xs[0] ?? 1, (top * n) / TICKS])[1], (top * n) / TICKS),
    ),
    ...xs.map((x) => text([place([x, 0])[0], HEIGHT - BOTTOM + 16], count(x), 'text-anchor="middle"')),
    ...plot.series.flatMap((series, number) => drawSeries(series, number, place)),
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="11" role="img">
<title>${escape(plot.title)}</title>
${parts.join("\n")}
</svg>
`;
}

type Placing = (point: readonly [number, number]) => readonly [number, number];

function drawSeries({ name, points }: Series, number: number, place: Placing): readonly string[] {
  const colour = COLOURS[number % COLOURS.length] ?? GREY;
  const path = points.map((point) =>
    place(point)
      .map((value) => value.toFixed(1))
      .join(","),
  );
  const legend = LEFT + number * 150;
  return [
    `<polyline points="${path.join(" ")}" fill="none" stroke="${colour}" stroke-width="2"/>`,
    ...path.map((at) => {
      const [x, y] = at.split(",");
      return `<circle cx="${x}" cy="${y}" r="3" fill="${colour}"/>`;
    }),
    `<rect x="${legend}" y="28" width="10" height="10" fill="${colour}"/>`,
    text([legend + 14, 37], name),
  ];
}

function gridLine(y: number, value: number): string {
  const line = `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y.toFixed(1)}" y2="${y.toFixed(1)}" stroke="${GREY}" stroke-opacity="0.35"/>`;
  return line + text([LEFT - 6, y + 4], short(value), 'text-anchor="end"');
}

function text([x, y]: readonly [number, number], words: string, attributes = ""): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" fill="${GREY}" ${attributes}>${escape(words)}</text>`;
}

function escape(words: string): string {
  return words.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** The next of 1, 2, 4, 6, 8, 10 and their tenfolds: four parts of it are short numbers. */
function roundUp(value: number): number {
  if (!(value > 0)) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  const factor = [1, 2, 4, 6, 8, 10].find((each) => each * unit >= value) ?? 10;
  return factor * unit;
}

function count(x: number): string {
  if (x >= 1e6) return `${x / 1e6}M`;
  return x >= 10_000 ? `${x / 1000}k` : String(x);
}
