/** Spellings remembered: names repeat, so that most cost one look-up. Emptied when full, so that made-up ones can't fill it for good. */
const MAX_SPELLINGS = 1024;

/** Returns `decide`, remembering what it says of each name as spelt. It must be pure, and may say anything but undefined. */
export function bySpelling<T extends string>(decide: (name: string) => T): (name: string) => T {
  const known = new Map<string, T>();
  return (name) => {
    const before = known.get(name);
    if (before !== undefined) return before;
    const decided = decide(name);
    if (known.size >= MAX_SPELLINGS) known.clear();
    known.set(name, decided);
    return decided;
  };
}
