/**
 * Repairs text before tokenisation, as the Python library ftfy does with its default settings (`ftfy.fix_text`, version
 * 6.3): CLIP's reference tokenizer runs it on every prompt, so the ids depend on it.
 *
 * All of ftfy's steps are here, in its order and repeated until nothing changes: HTML character references, wrongly
 * decoded text (mojibake), Latin ligatures, character widths, quotation marks, line breaks, lone surrogates, terminal
 * escapes, control characters, and Unicode normalisation (NFC). All but one are complete. The exception is mojibake:
 * ftfy weighs ten encodings with a statistical table, mojibake.ts recognises UTF-8 that was read as Windows-1252 or
 * Latin-1, the usual accident, and leaves other text alone.
 */
import { decodeHTMLStrict } from 'entities'
import { fixC1Controls, fixMojibake } from './mojibake'

/** Works line by line. From the first line with a "<" on, character references are kept: the text may be real HTML. */
export function fixText(text: string): string {
  if (isPlain(text)) return text
  let unescape = true
  return text.split(/(?<=\n)/).map((line) => {
    if (line.includes('<')) unescape = false
    return fixLine(line, unescape)
  }).join('')
}

/** Printable ASCII without "&" is left as it is by every step. */
function isPlain(text: string): boolean {
  return /^[\n\x20-\x25\x27-\x7e]*$/.test(text)
}

function fixLine(line: string, unescape: boolean): string {
  let text = line
  for (;;) {
    const before = text
    if (unescape) text = unescapeHtml(text)
    text = fixC1Controls(fixMojibake(text))
    text = text
      .replace(/[\u0132-\u0133\u0149\u01c4-\u01cc\u01f1-\u01f3\ufb00-\ufb06]/g, (c) => ligatures[c] ?? c)
      .replace(/[\u3000\uff01-\uffef]/g, (c) => (c === '\u3000' ? ' ' : c.normalize('NFKC')))
      .replace(/[\u201c-\u201f]/g, '"')
      .replace(/[\u02bc\u2018-\u201b]/g, "'")
      .replace(/\r\n|[\r\u2028\u2029\u0085]/g, '\n')
      .replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, '\ufffd')
      .replace(/\x1b\[[\d;]*[A-Za-z]/g, '')
      // ASCII and deprecated format controls, byte order mark, annotation and object replacement characters; tab, line
      // feed, form feed and carriage return stay.
      .replace(/[\x00-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]/g, '')
      .normalize('NFC')
    if (text === before) return text
  }
}

const ligatures: Readonly<Record<string, string>> = {
  Ĳ: 'IJ', ĳ: 'ij', ŉ: 'ʼn',
  Ǳ: 'DZ', ǲ: 'Dz', ǳ: 'dz', Ǆ: 'DŽ', ǅ: 'Dž', ǆ: 'dž',
  Ǉ: 'LJ', ǈ: 'Lj', ǉ: 'lj', Ǌ: 'NJ', ǋ: 'Nj', ǌ: 'nj',
  ﬀ: 'ff', ﬁ: 'fi', ﬂ: 'fl', ﬃ: 'ffi', ﬄ: 'ffl', ﬅ: 'ſt', ﬆ: 'st',
}

/**
 * Named and numeric references that end in a semicolon. A name in capitals that HTML does not know is read as the
 * lower-case name, in capitals: "&EACUTE;" is "É".
 */
function unescapeHtml(text: string): string {
  return text.replace(/&#?[0-9A-Za-z]{1,24};/g, (reference) => {
    const decoded = decodeHTMLStrict(reference)
    if (decoded !== reference) return decoded
    const name = reference.slice(1, -1)
    if (name !== name.toUpperCase() || name.startsWith('#')) return reference
    const lower = decodeHTMLStrict(reference.toLowerCase())
    return lower === reference.toLowerCase() ? reference : lower.toUpperCase()
  })
}
