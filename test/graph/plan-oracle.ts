/**
 * Checks a memory plan from the program alone: lifetimes are found again from instructions and ports, and everything
 * that is alive together must lie apart. Shares no code with the planner; of the ops it knows only which operands may
 * share bytes.
 */
import { ops } from '../../lib/graph/ops'
import type { Program } from '../../lib/graph/program'

interface Life {
  tensor: number
  begin: number
  end: number
  first: number
  last: number
}

export interface Findings {
  /** Sentences about what is wrong; empty when the plan holds. */
  faults: string[]
  /** Most bytes taken at one instruction; bytes of in-place pairs once. */
  mostAlive: number
  /** Highest end of a tensor. */
  end: number
  /** How many outputs took over the bytes of an input. */
  inPlace: number
}

const width = { f32: 4, bf16: 2, i32: 4 }
const line = 64

export function examine(program: Program): Findings {
  const lives = lifetimes(program)
  const faults: string[] = []
  const name = ({ tensor, first, last }: Life) => `${program.tensors[tensor]!.name} (#${tensor}, ${first}..${last})`
  for (const life of lives)
    if (life.begin % line !== 0 || life.begin < 0 || life.end > program.arenaBytes)
      faults.push(`${name(life)} lies outside or askew`)

  let inPlace = 0
  const byPlace = [...lives].sort((a, b) => a.begin - b.begin)
  byPlace.forEach((a, i) => {
    for (const b of byPlace.slice(i + 1)) {
      if (b.begin >= a.end) break
      if (a.last < b.first || b.last < a.first) continue
      const [before, after] = a.first < b.first ? [a, b] : [b, a]
      if (isInPlacePair(program, before, after)) inPlace++
      else faults.push(`${name(a)} and ${name(b)} are alive together and overlap`)
    }
  })
  return {
    faults,
    mostAlive: mostAlive(lives, program.instructions.length),
    end: Math.max(0, ...lives.map((life) => life.end)),
    inPlace,
  }
}

/** From the instruction that makes a tensor (-1 for inputs) to the last that touches it (the end for outputs). */
function lifetimes({ tensors, instructions, inputs, outputs }: Program): Life[] {
  const first = new Map<number, number>(inputs.map(({ tensor }) => [tensor, -1]))
  const last = new Map<number, number>(first)
  instructions.forEach((instruction, at) => {
    for (const tensor of instruction.outputs) if (!first.has(tensor)) first.set(tensor, at)
    for (const tensor of [...instruction.inputs, ...instruction.outputs]) last.set(tensor, at)
  })
  for (const { tensor } of outputs) last.set(tensor, instructions.length)
  return tensors.flatMap(({ space, dtype, shape, offset }, tensor) => {
    if (space !== 'arena') return []
    const bytes = shape.reduce((a, b) => a * b, width[dtype])
    return [
      {
        tensor,
        begin: offset,
        end: offset + Math.ceil(bytes / line) * line,
        first: first.get(tensor)!,
        last: last.get(tensor)!,
      },
    ]
  })
}

/** One ends in the instruction that makes the other, at the same place, and the op says that it may. */
function isInPlacePair({ instructions, inputs }: Program, before: Life, after: Life): boolean {
  if (before.last !== after.first || before.begin !== after.begin || before.end !== after.end) return false
  if (inputs.some(({ tensor }) => tensor === before.tensor)) return false // the caller's values
  const { op, inputs: read, outputs: made } = instructions[after.first]!
  if (read.filter((tensor) => tensor === before.tensor).length !== 1) return false
  const rules = ops.find((known) => known.name === op)?.inPlace ?? []
  return rules.some(({ input, output }) => read[input] === before.tensor && made[output] === after.tensor)
}

/** The measure of the union of all places that are taken, at the instruction where it is largest. */
function mostAlive(lives: readonly Life[], count: number): number {
  const startingAt = new Map<number, Life[]>()
  for (const life of lives) startingAt.set(life.first, [...(startingAt.get(life.first) ?? []), life])
  let alive: Life[] = []
  let most = 0
  for (let at = -1; at <= count; at++) {
    alive = [...alive.filter((life) => life.last >= at), ...(startingAt.get(at) ?? [])].sort(
      (a, b) => a.begin - b.begin,
    )
    let total = 0
    let end = 0
    for (const life of alive) {
      total += Math.max(0, life.end - Math.max(life.begin, end))
      end = Math.max(end, life.end)
    }
    most = Math.max(most, total)
  }
  return most
}
