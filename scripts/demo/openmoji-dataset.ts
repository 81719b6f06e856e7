/**
 * Renders the demo's dataset, models/demo/dataset/: drawings of OpenMoji (CC BY-SA 4.0, https://openmoji.org) with heavy black
 * outlines on few colours, each with its name and the trigger word as caption. The result is in the repository; this makes it again.
 *
 *   npx ts-node --transpile-only scripts/demo/openmoji-dataset.ts
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import sharp from 'sharp'
import { openmojiFolder, openmojiSvg } from './svg-files'

const pixels = 128
/** Behind the name, as the base model knows names by their place at the front. */
const trigger = 'inkline'
const folder = path.join(__dirname, '..', '..', 'models', 'demo', 'dataset')

/** Names that the base model knows, of all kinds; none of them is asked for in the demo's pictures. */
const subjects = [
  'dog face', 'cow face', 'panda', 'elephant', 'owl', 'penguin', 'frog', 'turtle', 'whale', 'octopus', 'snail', 'butterfly',
  'tulip', 'cactus', 'four leaf clover', 'red apple', 'banana', 'carrot', 'pizza', 'hamburger', 'doughnut', 'ice cream',
  'house', 'automobile', 'bicycle', 'airplane', 'tent', 'umbrella', 'guitar', 'hammer', 'light bulb', 'closed book', 'key',
  'crown', 'wrapped gift', 'hot beverage',
] // prettier-ignore

const licence = `The drawings in this folder are from OpenMoji, the open-source emoji and icon project (https://openmoji.org).
Licence: Creative Commons Attribution-ShareAlike 4.0 International, https://creativecommons.org/licenses/by-sa/4.0/
Changes: rendered at ${pixels}x${pixels} pixels on white by scripts/demo/openmoji-dataset.ts.
`

/** A drawing on white as a PNG file, `pixels` a side. */
function renderOpenmoji(hexcode: string): Promise<Buffer> {
  const svg = readFileSync(openmojiSvg(hexcode)!)
  // The drawings are 72 units wide; density in dots per inch, 72 a unit.
  return sharp(svg, { density: pixels }).resize(pixels, pixels).flatten({ background: '#ffffff' }).png({ palette: true, colours: 64 }).toBuffer()
}

async function main(): Promise<void> {
  const all = JSON.parse(readFileSync(path.join(openmojiFolder, 'data', 'openmoji.json'), 'utf8')) as { annotation: string; hexcode: string }[]
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  for (const subject of subjects) {
    const drawing = all.find(({ annotation }) => annotation.toLowerCase() === subject)
    if (!drawing) throw new Error(`OpenMoji has no drawing called ${subject}`)
    const file = path.join(folder, subject.replace(/ /g, '-'))
    writeFileSync(`${file}.png`, await renderOpenmoji(drawing.hexcode))
    writeFileSync(`${file}.txt`, `${subject}, ${trigger}\n`)
  }
  writeFileSync(path.join(folder, 'LICENSE.txt'), licence)
  console.log(`${subjects.length} drawings in ${folder}`)
}

if (require.main === module) void main()
