/** The drawings that the demo is measured with, by their hexcodes: Twemoji's, and OpenMoji's of the same subjects. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import sharp from 'sharp'
import { openmojiFolder, openmojiSvg, twemojiSvg } from '../svg-files'
import { type Emoji, vocabulary } from '../twemoji-dataset'
import { type Picture, readPicture } from './picture'

/** All hexcodes that OpenMoji has a colour drawing of, without skin tones and flags, in its order. */
export function openmojiHexcodes(): string[] {
  type Entry = { hexcode: string; group: string; skintone: unknown }
  const all = JSON.parse(readFileSync(path.join(openmojiFolder, 'data', 'openmoji.json'), 'utf8')) as Entry[]
  return all
    .filter(({ hexcode, group, skintone }) => !skintone && group !== 'flags' && openmojiSvg(hexcode))
    .map(({ hexcode }) => hexcode)
}

export interface Placement {
  /** Side of the whole picture and of the drawing within it, pixels. */
  size?: number
  side?: number
  /** Where the drawing begins; in the middle unless told. */
  left?: number
  top?: number
  mirrored?: boolean
  background?: string
}

/** Renders an SVG file; parts outside the picture are cut off. */
export async function renderSvg(file: string, placement: Placement = {}): Promise<Picture> {
  const { size = 128, side = Math.round(size * 0.875), background = '#ffffff' } = placement
  const { left = Math.round((size - side) / 2), top = Math.round((size - side) / 2) } = placement
  const { width = 36 } = await sharp(file).metadata()
  let drawing = sharp(file, { density: (72 * side) / width }).resize(side, side)
  if (placement.mirrored) drawing = drawing.flop()
  const cut = { left: Math.max(0, -left), top: Math.max(0, -top) }
  const visible = {
    width: Math.min(side - cut.left, size - Math.max(0, left)),
    height: Math.min(side - cut.top, size - Math.max(0, top)),
  }
  const input = await sharp(await drawing.ensureAlpha().png().toBuffer()).extract({ ...cut, ...visible }).toBuffer()
  const canvas = sharp({ create: { width: size, height: size, channels: 3, background } })
  const whole = canvas.composite([{ input, left: Math.max(0, left), top: Math.max(0, top) }])
  return readPicture(await whole.png().toBuffer())
}

/** `count` of a list, evenly spread. */
export function spread<T>(list: readonly T[], count: number): T[] {
  return Array.from({ length: Math.min(count, list.length) }, (_, i) => {
    return list[Math.floor((i * list.length) / Math.min(count, list.length))]
  })
}

/**
 * The 200 drawings among which the subject score looks for the nearest: evenly spread over the vocabulary in the order
 * of its subgroups, and all of subjects that OpenMoji has drawn too. Every second one is a prompt (`promptsOf`).
 */
export function candidates(count = 200): Emoji[] {
  const both = vocabulary().filter(({ hexcode }) => twemojiSvg(hexcode) && openmojiSvg(hexcode))
  const order = new Map([...new Set(both.map(({ subgroup }) => subgroup))].map((name, i) => [name, i]))
  return spread(
    both.sort((a, b) => order.get(a.subgroup)! - order.get(b.subgroup)!),
    count,
  )
}

export function promptsOf<T>(chosen: readonly T[]): T[] {
  return chosen.filter((_, i) => i % 2 === 0)
}
