/**
 * Undoes the usual accident: UTF-8 bytes that some program read as Windows-1252 or Latin-1 ("schÃ¶n", "itâ€™s",
 * "ðŸ˜€").
 *
 * Such text gives itself away, because the characters that stand for the bytes of one UTF-8 sequence follow each other
 * in ways that people do not write. A line is touched when it has one of these:
 *  - "Â" or "Ã" and a symbol; another capital with an accent and a symbol that follows no word (² ¶ ¨ ...)
 *  - "â", "ã", "ï" and two symbols; "ð" and three
 *  - any two well-formed sequences in a row, as in words of another script
 * and then all its well-formed sequences are decoded. This is narrower than ftfy's heuristic (see fix-text.ts): text
 * damaged through other code pages, or whose bytes were partly lost afterwards, stays as it is.
 */

// Bytes 0x80..0x9f in Windows-1252. It assigns 27 of them; the other five keep their Latin-1 control character.
const windows1252 = '€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ'
const byteOf = new Map<string, number>([...windows1252].map((c, i) => [c, 0x80 + i]))

/** Characters that stand for the bytes 0x80..0xbf, the second and later ones of a sequence. */
const tail = `[\\u0080-\\u00bf${[...byteOf.keys()].filter((c) => c > '\u00ff').join('')}]`
const sequence = `(?:[\\u00c2-\\u00df]${tail}|[\\u00e0-\\u00ef]${tail}{2}|[\\u00f0-\\u00f4]${tail}{3})`
const evidence = new RegExp(
  `[ÂÃ]${tail}|[Ä-ÑØÜÝ][°²³¹±¼½¾µ¶§¦¤¨¬¯¸ªºƒˆ˜†‡‰\\u0080-\\u009f]|[âãï]${tail}{2}|ð${tail}{3}|${sequence}{2}`)
const run = new RegExp(`${sequence}+`, 'g')

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Repeats itself, since text can have been damaged more than once. */
export function fixMojibake(text: string): string {
  let fixed = text
  while (evidence.test(fixed)) {
    const next = fixed.replace(run, (characters) => decode(characters) ?? characters)
    if (next === fixed) break
    fixed = next
  }
  return fixed
}

/** Latin-1 has controls at 0x80..0x9f that nobody uses: they stand for the characters of Windows-1252. */
export function fixC1Controls(text: string): string {
  return text.replace(/[\u0080-\u009f]/g, (c) => windows1252[c.charCodeAt(0) - 0x80]!)
}

function decode(characters: string): string | undefined {
  try {
    return decoder.decode(Uint8Array.from(characters, (c) => byteOf.get(c) ?? c.charCodeAt(0)))
  } catch {
    return undefined
  }
}
