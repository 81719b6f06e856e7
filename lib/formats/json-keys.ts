/**
 * Finding keys that a JSON text gives twice. `JSON.parse` keeps the last one in silence, which would let two readers of
 * one file see two different files.
 */

/**
 * @param text JSON that `JSON.parse` has accepted
 * @param depth how many levels of objects to look at; the outermost is 1
 * @returns the first key that its object already had, or undefined
 */
export function duplicateKey(text: string, depth: number): string | undefined {
  const open: (Set<string> | undefined)[] = [] // one entry per open bracket; a set for objects that are looked at
  for (let i = 0; i < text.length; i++) {
    const character = text[i]
    if (character === '{') {
      open.push(open.length < depth ? new Set() : undefined)
    } else if (character === '[') {
      open.push(undefined)
    } else if (character === '}' || character === ']') {
      open.pop()
    } else if (character === '"') {
      const end = endOfString(text, i)
      const keys = open[open.length - 1]
      if (keys && isKey(text, end)) {
        const key: string = JSON.parse(text.slice(i, end))
        if (keys.has(key)) return key
        keys.add(key)
      }
      i = end - 1
    }
  }
  return undefined
}

/** Position behind the closing quote of the string that starts at `start`. */
function endOfString(text: string, start: number): number {
  let i = start + 1
  while (text[i] !== '"') i += text[i] === '\\' ? 2 : 1
  return i + 1
}

/** In valid JSON, a string followed by a colon is a key. */
function isKey(text: string, end: number): boolean {
  let i = end
  while (text[i] === ' ' || text[i] === '\n' || text[i] === '\r' || text[i] === '\t') i++
  return text[i] === ':'
}
