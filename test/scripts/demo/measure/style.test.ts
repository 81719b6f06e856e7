import test from 'ava'
import type { Picture } from '../../../../scripts/demo/measure/picture'
import { edgeStrength, outlineShare, styleFigures } from '../../../../scripts/demo/measure/style'
import { renderSvg } from '../../../../scripts/demo/measure/drawings'
import { openmojiSvg, twemojiSvg } from '../../../../scripts/demo/svg-files'

/** 8x8, each pixel by its column. */
function columns(colourOf: (x: number) => number[]): Picture {
  const data = Uint8Array.from({ length: 8 * 8 * 3 }, (_, i) => colourOf(Math.floor(i / 3) % 8)[i % 3])
  return { width: 8, height: 8, data }
}

test('the share of outline counts near-black pixels, not dark colours', (t) => {
  const picture = columns((x) => (x < 2 ? [10, 10, 10] : x < 4 ? [41, 47, 51] : [0, 0, 255]))
  t.is(outlineShare(columns((x) => (x < 2 ? [10, 10, 10] : [255, 255, 255]))), 0.25)
  t.is(outlineShare({ ...picture, data: picture.data.map((v, i) => (i % 24 > 11 ? 90 : v)) }), 0.25)
})

test('edge strength is 4 in the two columns beside a step from black to white, and 0 on plain ground', (t) => {
  t.true(Math.abs(edgeStrength(columns((x) => (x < 4 ? [0, 0, 0] : [255, 255, 255]))) - (2 * 4) / 6) < 1e-5)
  t.is(edgeStrength(columns(() => [200, 30, 60])), 0)
})

test('figures of several pictures are their means', (t) => {
  const [plain, step] = [columns(() => [0, 0, 0]), columns((x) => (x < 4 ? [0, 0, 0] : [255, 255, 255]))]
  const { outlineShare: outline, edgeStrength: edges } = styleFigures([plain, step])
  t.is(outline, 0.75)
  t.true(Math.abs(edges - 4 / 6) < 1e-5)
})

test("OpenMoji's drawings have far more outline and stronger edges than Twemoji's", async (t) => {
  const codes = ['1F98A', '1F353', '26F5', '1F344', '1F680']
  const [twemoji, openmoji] = await Promise.all(
    [twemojiSvg, openmojiSvg].map(async (find) =>
      styleFigures(await Promise.all(codes.map((code) => renderSvg(find(code)!, { side: 112 })))),
    ),
  )
  t.true(openmoji.outlineShare > 5 * twemoji.outlineShare, JSON.stringify({ openmoji, twemoji }))
  t.true(openmoji.edgeStrength > 1.2 * twemoji.edgeStrength, JSON.stringify({ openmoji, twemoji }))
})
