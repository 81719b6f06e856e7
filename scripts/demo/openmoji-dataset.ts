/**
 * Renders a small dataset of real drawings with captions: animals of OpenMoji (CC BY-SA 4.0, https://openmoji.org) on white,
 * in kohya's folder layout. Their tags are the captions.
 *
 *   npx ts-node --transpile-only scripts/demo/openmoji-dataset.ts OUT [COUNT] [SIZE]
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import sharp from 'sharp'

interface Drawing {
  hexcode: string
  subgroups: string
  annotation: string
  tags: string
  openmoji_tags: string
}

const subgroups = ['animal-mammal', 'animal-bird', 'animal-marine']

function drawings(root: string): Drawing[] {
  const all = JSON.parse(readFileSync(path.join(root, 'data', 'openmoji.json'), 'utf8')) as Drawing[]
  return all.filter((drawing) => subgroups.includes(drawing.subgroups) && !drawing.annotation.includes(':'))
}

function captionOf({ annotation, tags, openmoji_tags: more }: Drawing): string {
  const words = `${tags},${more}`.split(',').map((tag) => tag.trim())
  return [annotation, ...new Set(words.filter((tag) => tag !== '' && tag !== annotation))].join(', ')
}

/**
 * @param folder gets a folder `4_openmoji drawing` with PNG pictures and .txt captions, and the licence
 * @param count evenly spread over the animals
 * @returns the folder of the pictures
 */
export async function renderOpenmoji(folder: string, count = 36, size = 512): Promise<string> {
  const root = path.dirname(require.resolve('openmoji/package.json'))
  const all = drawings(root)
  const images = path.join(folder, '4_openmoji drawing')
  mkdirSync(images, { recursive: true })
  for (let i = 0; i < Math.min(count, all.length); i++) {
    const drawing = all[Math.floor((i * all.length) / count)]!
    const svg = readFileSync(path.join(root, 'color', 'svg', `${drawing.hexcode}.svg`))
    // The drawings are 72 units wide; density in dots per inch, 72 a unit.
    const picture = sharp(svg, { density: size }).resize(size, size).flatten({ background: '#ffffff' })
    const name = path.join(images, drawing.annotation.replace(/[^a-z0-9]+/gi, '-'))
    await picture.png().toFile(`${name}.png`)
    writeFileSync(`${name}.txt`, `${captionOf(drawing)}\n`)
  }
  writeFileSync(
    path.join(folder, 'LICENSE.txt'),
    'Drawings: OpenMoji (https://openmoji.org), the open-source emoji and icon project. Licence: CC BY-SA 4.0.\n',
  )
  return images
}

if (require.main === module) {
  const [folder, count = '36', size = '512'] = process.argv.slice(2)
  if (!folder) throw new Error('give the folder to write')
  void renderOpenmoji(folder, Number(count), Number(size)).then((images) => console.log(images))
}
