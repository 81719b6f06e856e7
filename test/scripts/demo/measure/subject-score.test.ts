import test from 'ava'
import {
  candidates,
  promptsOf,
  renderSvg,
  spread,
} from '../../../../scripts/demo/measure/drawings'
import { openmojiSvg, twemojiSvg } from '../../../../scripts/demo/svg-files'
import { oklab } from '../../../../scripts/demo/measure/features'
import type { Picture } from '../../../../scripts/demo/measure/picture'
import { referencesOf, scoreSubjects } from '../../../../scripts/demo/measure/subject-score'

/** Fewer than the checks use, for speed; chance gives 1 and 5 of 32. */
const chosen = spread(candidates(), 32)
const own = [...chosen.keys()]
const drawings = (render: (hexcode: string, i: number) => Promise<Picture>) =>
  Promise.all(chosen.map(({ hexcode }, i) => render(hexcode, i)))
const references = drawings((hexcode) => renderSvg(twemojiSvg(hexcode)!)).then(referencesOf)

test('200 different drawings of many kinds are the candidates, every second one a prompt', (t) => {
  const all = candidates()
  t.is(new Set(all.map(({ hexcode }) => hexcode)).size, 200)
  t.true(new Set(all.map(({ subgroup }) => subgroup)).size > 30)
  t.is(promptsOf(all).length, 100)
  t.deepEqual(candidates(), all)
})

test('the same drawing is found again moved, smaller, mirrored, and on other ground', async (t) => {
  const grounds = ['#ffffff', '#bfe3ff', '#fff3b8', '#dcdcdc']
  const pictures = await drawings((hexcode, i) => {
    const placement = { side: 92 + ((i * 7) % 28), left: (i * 5) % 12, top: (i * 11) % 12, mirrored: i % 2 === 0 }
    return renderSvg(twemojiSvg(hexcode)!, { ...placement, background: grounds[i % grounds.length] })
  })
  const score = scoreSubjects(pictures, own, await references)
  t.true(score.top1 >= 0.95 && score.top5 >= 0.97, JSON.stringify(score))
})

test("another artist's drawings find their subjects far more often than chance, and no other subjects", async (t) => {
  const pictures = await drawings((hexcode) => renderSvg(openmojiSvg(hexcode)!, { side: 128 }))
  const score = scoreSubjects(pictures, own, await references)
  t.true(score.top1 >= 0.5 && score.top5 >= 0.7, JSON.stringify(score))
  const wrong = scoreSubjects(pictures, own.map((i) => (i + 17) % 32), await references)
  t.true(wrong.top5 <= 0.32, JSON.stringify(wrong))
})

test('OKLab gives its published values', (t) => {
  const near = (rgb: [number, number, number], lab: number[]) =>
    t.true(oklab(...rgb).every((value, i) => Math.abs(value - lab[i]) < 1e-3), oklab(...rgb).join())
  near([255, 255, 255], [1, 0, 0])
  near([0, 0, 0], [0, 0, 0])
  near([255, 0, 0], [0.628, 0.225, 0.126])
  near([0, 0, 255], [0.452, -0.032, -0.312])
})
