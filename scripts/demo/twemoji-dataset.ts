/**
 * Renders the pictures that the demo's base model is trained on: the drawings of Twemoji (graphics CC BY 4.0, npm
 * `@twemoji/svg`) with the names and tags of `emojibase-data` (MIT) as captions. Every drawing comes in several variants, by a
 * fixed seed: mirrored, moved, smaller or cut out, on white or on a colour that its caption names.
 *
 *   npx ts-node --transpile-only scripts/demo/twemoji-dataset.ts captioned|plain OUT [VARIANTS]
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import sharp from 'sharp'
import { philoxUniform } from '../../lib/base/philox'
import { twemojiSvg } from './svg-files'
import { words } from './vocabulary'

export const pictureSize = 128

export interface Emoji {
  label: string
  tags: string[]
  hexcode: string
  subgroup: string
}

/** Backgrounds other than white, as captions name them. */
const backgrounds: Record<string, string> = {
  'light blue': '#bfe3ff',
  'light green': '#cdeec8',
  'light yellow': '#fff3b8',
  'light pink': '#ffd3e0',
  'light purple': '#e0d3ff',
  'light grey': '#dcdcdc',
}

function allEmoji(): Emoji[] {
  const entries = require('emojibase-data/en/data.json') as { label: string; tags?: string[]; hexcode: string; subgroup?: number }[]
  const { subgroups } = require('emojibase-data/meta/groups.json') as { subgroups: Record<string, string> }
  return entries.flatMap(({ label, tags = [], hexcode, subgroup }) =>
    subgroup === undefined || !twemojiSvg(hexcode) ? [] : [{ label, tags, hexcode, subgroup: subgroups[subgroup]! }],
  )
}

/** The words that the base model knows. */
export function vocabulary(): Emoji[] {
  return allEmoji().filter(({ label }) => words.has(label))
}

/** Uniform numbers of one variant: the same for the same drawing and number. */
function chances(seed: number, variant: number): () => number {
  const values = philoxUniform({ seed: 20, stream: seed, step: variant }, new Float32Array(16))
  let next = 0
  return () => values[next++]!
}

interface Variant {
  /** Name of the background, undefined for white. */
  background: string | undefined
  mirrored: boolean
  /** Side of the drawing in pixels and where it lies; parts outside the picture are cut off. */
  side: number
  left: number
  top: number
  /** A black line around every shape, this wide in units of the drawing (36 a side); 0 for none. */
  outline: number
  /** By how much all hues are turned, degrees. */
  hue: number
}

async function render(emoji: Emoji, { background, mirrored, side, left, top, outline, hue }: Variant): Promise<Buffer> {
  const source = readFileSync(twemojiSvg(emoji.hexcode)!, 'utf8')
  const style = `<style>path,circle,ellipse,rect,polygon{stroke:#000;stroke-width:${outline};stroke-linejoin:round}</style>`
  const svg = outline > 0 ? source.replace(/<svg[^>]*>/, (tag) => tag + style) : source
  let drawing = sharp(Buffer.from(svg), { density: (72 * side) / 36 }).resize(side, side)
  if (mirrored) drawing = drawing.flop()
  if (hue) drawing = drawing.modulate({ hue })
  const { data, info } = await drawing.ensureAlpha().raw().toBuffer({ resolveWithObject: true })
  const cut = { left: Math.max(0, -left), top: Math.max(0, -top) }
  const width = Math.min(side - cut.left, pictureSize - Math.max(0, left))
  const height = Math.min(side - cut.top, pictureSize - Math.max(0, top))
  const visible = await sharp(data, { raw: info }).extract({ ...cut, width, height }).png().toBuffer()
  const canvas = { width: pictureSize, height: pictureSize, channels: 3 as const, background: background ? backgrounds[background]! : '#ffffff' }
  return sharp({ create: canvas })
    .composite([{ input: visible, left: Math.max(0, left), top: Math.max(0, top) }])
    .png()
    .toBuffer()
}

/** Whole drawings, nearly filling the picture; every other one on white, every fourth in the middle. */
function wholeVariant(seed: number, number: number): Variant {
  const chance = chances(seed, number)
  const centred = number % 4 === 0
  const side = centred ? 112 : Math.round(104 + 16 * chance())
  const shift = () => (centred ? 8 : Math.round((pictureSize - side) * chance()))
  const names = Object.keys(backgrounds)
  const background = number % 2 === 0 ? undefined : names[Math.floor(chance() * names.length)]
  return { background, mirrored: !centred && chance() < 0.5, side, left: shift(), top: shift(), outline: 0, hue: 0 }
}

/** Variants from this one on, the autoencoder's second round, have turned hues: Twemoji has few colours of its own. */
export const roundOneVariants = 4

/** For the autoencoder: any size, any cut, and lines, which drawings of other hands have and Twemoji does not. */
function looseVariant(seed: number, number: number): Variant {
  const chance = chances(seed, number)
  if (number === 0) return wholeVariant(seed, 0)
  const side = Math.round(90 + 110 * chance() ** 2)
  const shift = () => Math.round((pictureSize - side) * chance())
  const names = Object.keys(backgrounds)
  const background = chance() < 0.6 ? undefined : names[Math.floor(chance() * names.length)]
  const outline = chance() < 0.6 ? 0.5 + 0.9 * chance() : 0
  const [mirrored, left, top] = [chance() < 0.5, shift(), shift()]
  return { background, mirrored, side, left, top, outline, hue: number < roundOneVariants ? 0 : Math.round(360 * chance()) }
}

/** `red apple, light blue background`; variants 2, 5, 8 ... also have two of the tags. */
export function captionOf({ label, tags }: Emoji, background: string | undefined, number = 0): string {
  const own = new Set(label.toLowerCase().split(/\W+/))
  const others = tags.filter((tag) => !own.has(tag.toLowerCase()))
  const extra = number % 3 === 2 ? others.slice(0, 2) : []
  return [label, ...extra, ...(background ? [`${background} background`] : [])].join(', ')
}

/** @returns how many pictures there are now; those that exist already are left alone */
export async function renderTwemoji(kind: 'captioned' | 'plain', folder: string, variants: number): Promise<number> {
  mkdirSync(folder, { recursive: true })
  const drawings = kind === 'captioned' ? vocabulary() : allEmoji()
  for (const emoji of drawings) {
    const seed = parseInt(emoji.hexcode.replace(/-/g, '').slice(-8), 16)
    await Promise.all(
      Array.from({ length: variants }, async (_, number) => {
        const name = path.join(folder, `${emoji.hexcode}-${number}`)
        if (existsSync(`${name}.txt`)) return
        const variant = kind === 'captioned' ? wholeVariant(seed, number) : looseVariant(seed, number)
        writeFileSync(`${name}.png`, await render(emoji, variant))
        writeFileSync(`${name}.txt`, `${captionOf(emoji, variant.background, number)}\n`)
      }),
    )
  }
  return drawings.length * variants
}

if (require.main === module) {
  const [kind, folder, variants = '4'] = process.argv.slice(2)
  if ((kind !== 'captioned' && kind !== 'plain') || !folder) throw new Error('give captioned or plain, and the folder to write')
  void renderTwemoji(kind, folder, Number(variants)).then((count) => console.log(`${count} pictures in ${folder}`))
}
