/**
 * Letters as SVG paths: a machine may have no fonts at all, and SVG text would then come out empty. Each glyph is drawn
 * with a pen on a grid, x right, y down; tall letters begin at 0, small ones at 2, the line is at 6, tails end at 8.
 */

/** Strokes of a glyph, points as pairs of digits. Capitals look like small letters. */
const glyphs: Record<string, string> = {
  a: '4246 4332120305163645',
  b: '0006 0312324345361605',
  c: '4332120305163645',
  d: '4046 4332120305163645',
  e: '04444332120305163645',
  f: '30201116 0222',
  g: '4247381807 4332120305163645',
  h: '0006 0312324346',
  i: '0206 0000',
  j: '121708 1010',
  k: '0006 320436',
  l: '0006',
  m: '0206 0312223336 3342526366',
  n: '0206 0312324346',
  o: '123243453616050312',
  p: '0208 0312324345361605',
  q: '4248 4332120305163645',
  r: '0206 031232',
  s: '43321203143445361605',
  t: '10152636 0232',
  u: '0205163645 4246',
  v: '022642',
  w: '0216335662',
  x: '0246 4206',
  y: '0226 4218',
  z: '02420646',
  0: '103041453616050110',
  1: '011016',
  2: '01103041420646',
  3: '01103041423313 334445361605',
  4: '36300444',
  5: '400002324345361605',
  6: '413010010516364544331304',
  7: '004016',
  8: '103041423313020110 1304051636454433',
  9: '051636454130100102133342',
  '.': '0606',
  ',': '1607',
  '-': '0434',
  ':': '0303 0606',
  '+': '2226 0444',
  '/': '4006',
  '%': '4006 0101 4545',
  '=': '0343 0545',
  '(': '20111526',
  ')': '00111506',
  '!': '0004 0606',
  '?': '01103041422324 2626',
  "'": '0001',
}

const space = 3
const gap = 2

function strokesOf(letter: string): number[][][] {
  return glyphs[letter].split(' ').map((stroke) => {
    const digits = [...stroke].map(Number)
    return digits.flatMap((x, i) => (i % 2 === 0 ? [[x, digits[i + 1]]] : []))
  })
}

/** Small letters without accents; what the font lacks becomes a question mark. */
function letters(text: string): string[] {
  const plain = text.normalize('NFD').replace(/\p{M}/gu, '').replace(/[’‘“”"]/g, "'")
  const known = plain.replace(/[–—]/g, '-').replace(/&/g, '+').toLowerCase()
  return [...known].map((letter) => (letter === ' ' || glyphs[letter] ? letter : '?'))
}

function advance(letter: string): number {
  return letter === ' ' ? space : gap + Math.max(...strokesOf(letter).flat().map(([x]) => x))
}

/** Width of a line of text in pixels. `height`: of a capital. */
export function textWidth(text: string, height: number): number {
  const units = letters(text).reduce((sum, letter) => sum + advance(letter), 0)
  return (Math.max(0, units - gap) * height) / 6
}

export interface TextPlace {
  x: number
  /** Upper edge of capitals. */
  y: number
  /** Of a capital, pixels. */
  height: number
  anchor?: 'start' | 'middle' | 'end'
  colour?: string
}

/** One line of text as an SVG path element. */
export function textPath(text: string, { x, y, height, anchor = 'start', colour = '#222' }: TextPlace): string {
  const scale = height / 6
  let pen = x - textWidth(text, height) * { start: 0, middle: 0.5, end: 1 }[anchor]
  const parts: string[] = []
  for (const letter of letters(text)) {
    if (letter !== ' ')
      for (const stroke of strokesOf(letter)) {
        const points = stroke.map(([px, py]) => `${(pen + px * scale).toFixed(2)} ${(y + py * scale).toFixed(2)}`)
        parts.push(`M${points[0]}L${points.join('L')}`)
      }
    pen += advance(letter) * scale
  }
  const pencil = `fill="none" stroke="${colour}" stroke-width="${(scale * 0.9).toFixed(2)}"`
  return `<path d="${parts.join('')}" ${pencil} stroke-linecap="round" stroke-linejoin="round"/>`
}

/** Breaks text at spaces into lines of at most `width` pixels; longer words stay whole. At most `lines` lines. */
export function wrapText(text: string, width: number, height: number, lines = 2): string[] {
  const wrapped: string[] = []
  for (const word of text.split(' ')) {
    const longer = wrapped.length > 0 ? `${wrapped.at(-1)} ${word}` : word
    if (wrapped.length > 0 && textWidth(longer, height) <= width) wrapped[wrapped.length - 1] = longer
    else wrapped.push(word)
  }
  return wrapped.slice(0, lines)
}
