/**
 * How large the errors of computing in bf16 are on the emulated card, beside those of the processor: for each op, its
 * values and gradients on the same operands, rounded to bf16, against the processor's f32.
 *
 *     npx ts-node --transpile-only scripts/bench/bf16-errors.ts [op ...]
 *
 * Operands are those of test/graph/ops and some of the size that layers have; errors are relative L2, over all elements
 * of several runs with other values. Below the tolerance that f32 has in those tests there is nothing to compare.
 * Prints for each op the worst ratio of the card's error to the processor's; exits with 1 if one is above 2.
 */
import { table } from '../../lib/cli/render'
import type { Values } from '../../lib/native'
import { buildCase, type Built, type OpCase } from '../../test/graph/build-case'
import { cases } from '../../test/graph/ops/cases'
import { largerCases } from '../../test/graph/ops/larger-cases'
import { runCase, type CaseResult } from '../../test/graph/run-case'
import { rounded } from '../../test/helpers/run-op'

const allowed = 2
const floor = 3e-6
/** Elements over which an error is taken, so that it is no accident of a few roundings. */
const wanted = 2000
const mostRuns = 40

interface Squares {
  processor: number
  card: number
  reference: number
  elements: number
}

interface Row {
  op: string
  title: string
  value: string
  processor: number
  card: number
  ratio: number
}

/** What a run computed, by name: outputs and gradients. */
function valuesOf({ set }: Built, { outputs, gradients }: CaseResult): Map<string, Values> {
  const trained = [...set.parameters.keys()].map((name) => [`d ${name}`, gradients(name)] as const)
  return new Map([...Object.entries(outputs), ...trained])
}

/** The leaves as a run in bf16 sees them. */
function operandsOf({ leaves }: Built, { weights }: CaseResult): Map<string, ArrayLike<number>> {
  const seen = (values: Values, dtype: string) => (dtype === 'bf16' ? Array.from(values, rounded) : values)
  return new Map([...leaves].map(([name, { tensor, values }]) => [name, weights.get(name) ?? seen(values, tensor.dtype)]))
}

async function addErrors(sums: Map<string, Squares>, one: OpCase, seed: number): Promise<void> {
  const built = buildCase(one, 'ports', { dtype: 'bf16', seed })
  const processor = await runCase(built, 'cpu', seed)
  const card = await runCase(built, 'cuda-sim', seed)
  const exact = buildCase(one, 'ports', { seed, given: operandsOf(built, processor) })
  const expected = valuesOf(exact, await runCase(exact, 'cpu', seed))
  const [ours, theirs] = [valuesOf(built, card), valuesOf(built, processor)]
  for (const [name, reference] of expected) {
    const sum = sums.get(name) ?? { processor: 0, card: 0, reference: 0, elements: 0 }
    reference.forEach((value, i) => {
      sum.processor += (theirs.get(name)![i]! - value) ** 2
      sum.card += (ours.get(name)![i]! - value) ** 2
      sum.reference += value ** 2
    })
    sum.elements += reference.length
    sums.set(name, sum)
  }
}

async function measure(op: string, one: OpCase): Promise<Row[]> {
  const sums = new Map<string, Squares>()
  for (let seed = 0; seed < mostRuns; seed++) {
    await addErrors(sums, one, seed)
    if ([...sums.values()].every(({ elements }) => elements >= wanted)) break
  }
  return [...sums].map(([value, { processor, card, reference }]) => {
    const error = (squares: number) => (reference > 0 ? Math.sqrt(squares / reference) : Math.sqrt(squares))
    const errors = { processor: error(processor), card: error(card) }
    const ratio = Math.max(errors.card, floor) / Math.max(errors.processor, floor)
    return { op, title: one.title, value, ...errors, ratio }
  })
}

async function main(): Promise<void> {
  const names = process.argv.slice(2)
  const rows: Row[] = []
  for (const [op, list] of Object.entries(cases)) {
    if (names.length > 0 && !names.includes(op)) continue
    for (const one of [...list, ...(largerCases[op] ?? [])]) rows.push(...(await measure(op, one)))
  }
  const worstOf = (list: Row[]) => list.reduce((worst, row) => (row.ratio > worst.ratio ? row : worst))
  const worst = [...new Set(rows.map(({ op }) => op))].map((op) => worstOf(rows.filter((row) => row.op === op)))
  const above = rows.filter(({ ratio }) => ratio > allowed)
  const shown = [...new Set([...worst, ...above])]
  console.log(
    table([
      ['op', 'worst of its values', 'case', 'processor', 'card', 'ratio'],
      ...shown.map(({ op, title, value, processor, card, ratio }) => {
        return [op, value, title, processor.toExponential(2), card.toExponential(2), ratio.toFixed(2)]
      }),
    ]),
  )
  const last = worstOf(rows)
  console.log(`${rows.length} values of ${worst.length} ops; worst ratio ${last.ratio.toFixed(2)} (${last.op}: ${last.value})`)
  if (above.length > 0) process.exitCode = 1
}

void main()
