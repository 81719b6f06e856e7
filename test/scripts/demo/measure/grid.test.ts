import test from 'ava'
import { pictureGrid } from '../../../../scripts/demo/measure/grid'
import { type Picture, readPicture } from '../../../../scripts/demo/measure/picture'
import { textPath, textWidth, wrapText } from '../../../../scripts/demo/measure/stroke-font'

const plain = (colour: number[]): Picture => {
  return { width: 32, height: 32, data: Uint8Array.from({ length: 32 * 32 * 3 }, (_, i) => colour[i % 3]) }
}
const [red, green, blue] = [plain([255, 0, 0]), plain([0, 160, 0]), plain([0, 0, 255])]

function count({ data }: Picture, wanted: (r: number, g: number, b: number) => boolean): number {
  let found = 0
  for (let i = 0; i < data.length; i += 3) if (wanted(data[i], data[i + 1], data[i + 2])) found++
  return found
}
const isRed = (r: number, g: number, b: number) => r === 255 && g === 0 && b === 0
const isDark = (r: number, g: number, b: number) => r < 100 && g < 100 && b < 100

test('a grid shows every picture whole, in rows and columns', async (t) => {
  const bare = await readPicture(await pictureGrid({ rows: [{ pictures: [red, green] }, { pictures: [blue, red] }] }))
  t.is(count(bare, isRed), 2 * 32 * 32)
  t.is(count(bare, (r, g, b) => r === 0 && g === 160 && b === 0), 32 * 32)
  t.is(count(bare, isDark), 0)
})

test('headings and labels add ink, and leave the pictures alone', async (t) => {
  const rows = [{ label: 'first row', pictures: [red, green], captions: ['apple', 'pear'] }]
  const training = { label: 'trained on', pictures: [red, red, red, red, red] }
  const sheet = await readPicture(await pictureGrid({ title: 'Title', columns: ['0', '1.0'], rows, training }))
  t.true(count(sheet, isDark) > 100)
  t.true(count(sheet, isRed) > 32 * 32 + 4 * 14 * 14)
})

test('a grid without pictures is refused', async (t) => {
  await t.throwsAsync(pictureGrid({ rows: [] }), { message: /needs pictures/ })
})

test('the font has every small letter and digit, and a question mark for what it lacks', (t) => {
  const place = { x: 0, y: 0, height: 6 }
  for (const letter of 'abcdefghijklmnopqrstuvwxyz0123456789')
    t.not(textPath(letter, place), textPath('?', place), letter)
  t.is(textPath('É', place), textPath('e', place))
  t.is(textPath('日', place), textPath('?', place))
  t.regex(textPath('a', place), /d="M/)
})

test('text is as wide as its letters, and breaks at spaces', (t) => {
  t.is(textWidth('nn', 6), 4 + 2 + 4)
  t.is(textWidth('nn', 12), 2 * textWidth('nn', 6))
  const lines = wrapText('a smiling cat with heart eyes', 100, 9, 5)
  t.true(lines.length > 1 && lines.every((line) => textWidth(line, 9) <= 100))
  t.is(lines.join(' '), 'a smiling cat with heart eyes')
})
