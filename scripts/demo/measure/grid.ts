/** Pictures in rows and columns on one sheet, with headings and captions: contact sheets, and the grid of the demo. */
import sharp from 'sharp'
import type { Picture } from './picture'
import { textPath, textWidth, wrapText } from './stroke-font'

export interface GridRow {
  /** At the left. */
  label?: string
  pictures: readonly Picture[]
  /** Under each picture. */
  captions?: readonly string[]
}

export interface GridOptions {
  title?: string
  /** Above the columns of `rows`. */
  columns?: readonly string[]
  rows: readonly GridRow[]
  /** What was trained on, below the rows; more pictures than there are columns are smaller and fill the same width. */
  training?: GridRow
  /** Side of a picture on the sheet; as large as the first one is unless told. */
  pictureSize?: number
}

const margin = 12
const spacing = 8
const fontHeight = 9
const lineHeight = 15
const labelWidth = 110

/** A picture on the sheet: where, how large. */
interface Placed {
  picture: Picture
  left: number
  top: number
  side: number
}

/**
 * @returns a PNG file. Labels are drawn as lines, so they look the same on a machine without fonts.
 * @throws Error without pictures
 */
export async function pictureGrid({ title, columns, rows, training, pictureSize }: GridOptions): Promise<Buffer> {
  const side = pictureSize ?? rows[0]?.pictures[0]?.width
  if (!side) throw new Error('a grid needs pictures')
  const count = Math.max(...rows.map(({ pictures }) => pictures.length))
  const labelled = [...rows, ...(training ? [training] : [])].some(({ label }) => label) ? labelWidth : 0
  const inner = count * (side + spacing) - spacing
  const left = margin + labelled
  const width = Math.max(left + inner + margin, title ? textWidth(title, fontHeight * 1.4) + 2 * margin : 0)
  const placed: Placed[] = []
  const text: string[] = []
  let top = margin

  const centred = (words: string, x: number, y: number, lines = 2) =>
    wrapText(words, side, fontHeight, lines).forEach((line, i) => {
      const height = Math.min(fontHeight, (fontHeight * (side + spacing / 2)) / textWidth(line, fontHeight))
      text.push(textPath(line, { x, y: y + i * lineHeight, height, anchor: 'middle' }))
    })
  const place = ({ label, pictures, captions }: GridRow, size: number, perLine: number) => {
    const begun = top
    for (let first = 0; first < pictures.length; first += perLine) {
      const line = pictures.slice(first, first + perLine)
      line.forEach((picture, i) => {
        const x = left + i * (size + spacing)
        placed.push({ picture, left: x, top, side: size })
        const caption = captions?.[first + i]
        if (caption) centred(caption, x + size / 2, top + size + 6)
      })
      top += size + spacing + (captions ? 2 * lineHeight : 0)
    }
    if (!label) return
    const lines = wrapText(label, labelWidth - spacing, fontHeight, 5)
    const middle = begun + (Math.min(top - begun, size) - lines.length * lineHeight) / 2
    lines.forEach((line, i) => text.push(textPath(line, { x: margin, y: middle + i * lineHeight, height: fontHeight })))
  }

  if (title) {
    text.push(textPath(title, { x: margin, y: top, height: fontHeight * 1.4 }))
    top += 2 * lineHeight
  }
  if (columns) {
    columns.forEach((heading, i) => centred(heading, left + i * (side + spacing) + side / 2, top, 1))
    top += lineHeight + 3
  }
  for (const row of rows) place(row, side, count)
  if (training) {
    top += spacing
    const fitting = Math.max(1, Math.floor((inner + spacing) / (side / 2 + spacing)))
    const perLine = training.pictures.length > count ? fitting : count
    place(training, Math.floor((inner + spacing) / perLine) - spacing, perLine)
  }
  return compose({ width: Math.ceil(width), height: Math.ceil(top + margin - spacing) }, placed, text)
}

async function compose(
  { width, height }: { width: number; height: number },
  placed: readonly Placed[],
  text: readonly string[],
): Promise<Buffer> {
  const pictures = placed.map(async ({ picture, left, top, side }) => {
    const raw = { width: picture.width, height: picture.height, channels: 3 as const }
    const input = await sharp(picture.data, { raw }).resize(side, side, { fit: 'fill' }).png().toBuffer()
    return { input, left: Math.round(left), top: Math.round(top) }
  })
  const frames = placed.map(({ left, top, side }) => {
    const [x, y] = [Math.round(left) - 0.5, Math.round(top) - 0.5]
    return `<rect x="${x}" y="${y}" width="${side + 1}" height="${side + 1}" fill="none" stroke="#d8d8d8"/>`
  })
  const root = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">`
  const svg = [root, ...frames, ...text, '</svg>'].join('')
  const canvas = sharp({ create: { width, height, channels: 3, background: '#ffffff' } })
  return canvas
    .composite([...(await Promise.all(pictures)), { input: Buffer.from(svg), left: 0, top: 0 }])
    .png()
    .toBuffer()
}
