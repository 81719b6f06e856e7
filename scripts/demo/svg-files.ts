/** Where the packages of drawings keep their SVG files, by hexcode such as `1F34E` or `2764-FE0F-200D-1F525`. */
import { existsSync } from 'node:fs'
import path from 'node:path'

export const openmojiFolder = path.dirname(require.resolve('openmoji/package.json'))
const twemojiFolder = path.dirname(require.resolve('@twemoji/svg/package.json'))

/** Both packages leave the variation selector out in some names and not in others. */
function findSvg(folder: string, hexcode: string): string | undefined {
  const names = [hexcode, hexcode.replace(/-FE0F/gi, '')].map((name) => name.replace(/^0+/, ''))
  return [...names, hexcode].map((name) => path.join(folder, `${name}.svg`)).find(existsSync)
}

export function twemojiSvg(hexcode: string): string | undefined {
  return findSvg(twemojiFolder, hexcode.toLowerCase())
}

export function openmojiSvg(hexcode: string): string | undefined {
  return findSvg(path.join(openmojiFolder, 'color', 'svg'), hexcode.toUpperCase())
}
