/** "Did you mean ...?" */

/**
 * The known name that is closest to what was written, if any is close: at most a third of its letters differ, or one
 * contains the other.
 */
export function nearest(written: string, known: readonly string[]): string | undefined {
  const plain = (name: string) => name.toLowerCase().replace(/[^a-z0-9]/g, '')
  const word = plain(written)
  let best: { name: string; distance: number } | undefined
  for (const name of known) {
    const candidate = plain(name)
    const distance = editDistance(word, candidate)
    const isPart = word.length >= 3 && (candidate.includes(word) || word.includes(candidate))
    const isClose = distance <= Math.max(1, Math.floor(Math.max(word.length, candidate.length) / 3))
    const rank = isClose ? distance : distance + 100
    if ((isClose || isPart) && rank < (best?.distance ?? Infinity)) best = { name, distance: rank }
  }
  return best?.name
}

/** Insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
export function editDistance(a: string, b: string): number {
  if (Math.max(a.length, b.length) > 100) return Infinity
  const rows = Array.from({ length: a.length + 1 }, (_, i) => new Array<number>(b.length + 1).fill(i))
  rows[0]!.forEach((_, j) => (rows[0]![j] = j))
  for (let i = 1; i <= a.length; i++)
    for (let j = 1; j <= b.length; j++) {
      const replaced = rows[i - 1]![j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      const swapped = isSwap ? rows[i - 2]![j - 2]! + 1 : Infinity
      rows[i]![j] = Math.min(rows[i - 1]![j]! + 1, rows[i]![j - 1]! + 1, replaced, swapped)
    }
  return rows[a.length]![b.length]!
}
