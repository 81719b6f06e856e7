/** What a style LoRA must show on subjects that it was not trained on. */
import { type Check, percent } from './checks'
import type { StyleFigures } from './style'

/** Of the training pictures' own style figures, at strength 1. */
const leastShareOfStyle = 0.5
/** Of the subject score without the LoRA, at every strength. */
const mostLostSubjects = 1 / 3

export interface StrengthFigures extends StyleFigures {
  strength: number
  top1: number
  top5: number
}

export interface LoraFigures {
  /** By rising strength, the first 0 and the last 1. */
  strengths: readonly StrengthFigures[]
  training: StyleFigures
  /** Whether strength 0 gives the very bits of the base. */
  identical: boolean
}

/** Those of `subjects` whose names neither contain a caption of the dataset, word for word, nor are part of one. */
export function heldOut<T extends { label: string }>(subjects: readonly T[], captions: readonly string[]): T[] {
  const phrase = (text: string) => ` ${text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, ' ').trim()} `
  const trained = captions.map(phrase)
  return subjects.filter(({ label }) => {
    const own = phrase(label)
    return !trained.some((caption) => caption.includes(own) || own.includes(caption))
  })
}

export function judgeLora({ strengths, training, identical }: LoraFigures): Check[] {
  const [first, last] = [strengths[0], strengths[strengths.length - 1]]
  const style = (['outlineShare', 'edgeStrength'] as const).flatMap((figure) => {
    const name = { outlineShare: 'share of outline', edgeStrength: 'edge strength' }[figure]
    const values = strengths.map((one) => one[figure])
    return [
      {
        what: `${name} rises with strength`,
        value: values.map((value) => value.toFixed(4)).join(', '),
        passed: values.every((value, i) => i === 0 || value > values[i - 1]),
      },
      {
        what: `${name} at strength ${last.strength} reaches half of the training pictures'`,
        value: percent(last[figure] / training[figure]),
        passed: last[figure] >= leastShareOfStyle * training[figure],
      },
    ]
  })
  const kept = strengths.map(({ top5 }) => top5 / first.top5)
  return [
    ...style,
    {
      what: 'subjects stay (top-5 loses a third at most)',
      value: strengths.map(({ top5 }) => percent(top5)).join(', '),
      passed: first.top5 > 0 && kept.every((share) => share >= 1 - mostLostSubjects),
    },
    { what: 'strength 0 gives the bits of the base', value: identical ? 'yes' : 'no', passed: identical },
  ]
}
