// What somebody may have meant by a word that is not known.

/** Edits that make one of the other: letters put in, left out, taken for another, or two swapped (optimal string alignment). */
export function editDistance(a: string, b: string): number {
  let [before, row] = [[] as number[], Array.from({ length: b.length + 1 }, (_, n) => n)];
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const differs = a[i - 1] === b[j - 1] ? 0 : 1;
      let least = Math.min((next[j - 1] ?? 0) + 1, (row[j] ?? 0) + 1, (row[j - 1] ?? 0) + differs);
      const isSwapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (isSwapped) least = Math.min(least, (before[j - 2] ?? 0) + 1);
      next.push(least);
    }
    [before, row] = [row, next];
  }
  return row[b.length] ?? 0;
}

/** Longer words are no names: comparing them would only cost. */
const LENGTH_MAX = 64;
const NEAR_MAX = 3;

/** The known words that are meant most likely, the nearest first, at most three; empty: none is near. */
export function nearest(said: string, known: Iterable<string>): string[] {
  const word = said.toLowerCase().slice(0, LENGTH_MAX);
  const reach = word.length <= 3 ? 1 : word.length <= 6 ? 2 : 3;
  return [...new Set(known)]
    .map((name) => ({ name, distance: distanceTo(word, name.toLowerCase()) }))
    .filter(({ distance }) => distance <= reach)
    .toSorted((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1))
    .slice(0, NEAR_MAX)
    .map(({ name }) => name);
}

/** What a name begins with is near it. */
function distanceTo(word: string, name: string): number {
  if (word.length >= 2 && name.startsWith(word)) return 1;
  return Math.abs(word.length - name.length) > 3 ? Infinity : editDistance(word, name);
}
