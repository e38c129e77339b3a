/** Where in a page a program writes, marked by two comments. */
export interface Marks {
  readonly begin: string;
  readonly end: string;
}

/** Returns the page with that text in the place of what was written there last. @throws when the marks are missing */
export function withWritten(page: string, { begin, end }: Marks, text: string): string {
  const from = page.indexOf(begin);
  const to = page.indexOf(end, from);
  if (from === -1 || to === -1) throw new Error(`the page has lost its marks ${begin} … ${end}`);
  return `${page.slice(0, from + begin.length)}\n\n${text}\n${page.slice(to)}`;
}
