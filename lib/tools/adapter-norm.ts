/**
 * Frobenius norms of the change that an adapter makes to a weight, computed from its parts without forming the change
 * where algebra allows: ||U D||² = tr((UᵀU)(D Dᵀ)), two r x r Gram matrices, and ||kron(A, B)|| = ||A|| ||B||.
 */
import type { LoraModule } from '../formats/lora-file'
import type { Role } from '../formats/lora-roles'

/** Values and shape of one part of the adapter; undefined where the adapter has no such part. */
export type ReadPart = (role: Role) => { values: Float32Array; shape: readonly number[] } | undefined

/**
 * ||scale · change||, magnitudes of DoRA left aside. Undefined for kinds whose change depends on the base weight (IA3,
 * OFT, BOFT, GLoRA) and for pairs with a Tucker core.
 */
export function adapterNorm({ kind, scale, tensors }: LoraModule, read: ReadPart): number | undefined {
  if (tensors.has('lora_mid') || tensors.has('hada_t1') || tensors.has('lokr_t2')) return undefined
  switch (kind) {
    case 'lora':
    case 'locon':
      return scaled(scale, pairSquare(read('lora_up'), read('lora_down')))
    case 'loha':
      return scaled(scale, hadamardSquare(read))
    case 'lokr': {
      const first = square(read('lokr_w1')) ?? pairSquare(read('lokr_w1_a'), read('lokr_w1_b'))
      const second = square(read('lokr_w2')) ?? pairSquare(read('lokr_w2_a'), read('lokr_w2_b'))
      return first === undefined || second === undefined ? undefined : scaled(scale, first * second)
    }
    case 'full':
      return scaled(1, square(read('diff')))
    case 'norm':
      return scaled(1, square(read('w_norm')))
    default:
      return undefined
  }
}

function scaled(scale: number, squared: number | undefined): number | undefined {
  // Rounding can leave a tiny negative number where the product vanishes.
  return squared === undefined ? undefined : Math.abs(scale) * Math.sqrt(Math.max(0, squared))
}

function square(part: ReturnType<ReadPart>): number | undefined {
  return part?.values.reduce((sum, value) => sum + value * value, 0)
}

/** ||a b||² for a [m, r] and b [r, n]. */
function pairSquare(a: ReturnType<ReadPart>, b: ReturnType<ReadPart>): number | undefined {
  if (!a || !b) return undefined
  const rank = b.shape[0]
  const columns = gram(transposed(a.values, rank), rank)
  const rows = gram(Float64Array.from(b.values), rank)
  let sum = 0
  for (let i = 0; i < columns.length; i++) sum += columns[i] * rows[i]
  return sum
}

/** [m, r] -> [r, m]. */
function transposed(a: Float32Array, rank: number): Float64Array {
  const m = a.length / rank
  const out = new Float64Array(a.length)
  for (let row = 0; row < m; row++) for (let r = 0; r < rank; r++) out[r * m + row] = a[row * rank + r]
  return out
}

/** b bᵀ [r, r] of b [r, n]. Two rows against two at a time, so that each number read serves two products. */
function gram(b: Float64Array, rank: number): Float64Array {
  const out = new Float64Array(rank * rank)
  const n = b.length / rank
  const set = (i: number, j: number, sum: number) => {
    out[i * rank + j] = sum
    out[j * rank + i] = sum
  }
  for (let i = 0; i < rank; i += 2) {
    const second = i + 1 < rank ? n : 0 // an odd last row is paired with itself
    for (let j = i; j < rank; j += 2) {
      const other = j + 1 < rank ? n : 0
      let [s00, s01, s10, s11] = [0, 0, 0, 0]
      for (let p = i * n, q = j * n, end = p + n; p < end; p++, q++) {
        s00 += b[p] * b[q]
        s01 += b[p] * b[q + other]
        s10 += b[p + second] * b[q]
        s11 += b[p + second] * b[q + other]
      }
      set(i, j, s00)
      if (other) set(i, j + 1, s01)
      if (second) set(i + 1, j, s10)
      if (second && other) set(i + 1, j + 1, s11)
    }
  }
  return out
}

/** ||(w1a w1b) o (w2a w2b)||², one row of the product at a time. */
function hadamardSquare(read: ReadPart): number | undefined {
  const [a1, b1, a2, b2] = (['hada_w1_a', 'hada_w1_b', 'hada_w2_a', 'hada_w2_b'] as const).map(read)
  if (!a1 || !b1 || !a2 || !b2) return undefined
  const out = a1.shape[0]
  const n = b1.values.length / b1.shape[0]
  const first = new Float64Array(n)
  const second = new Float64Array(n)
  let sum = 0
  for (let row = 0; row < out; row++) {
    productRow(a1.values, b1.values, b1.shape[0], row, first)
    productRow(a2.values, b2.values, b2.shape[0], row, second)
    for (let k = 0; k < n; k++) sum += (first[k] * second[k]) ** 2
  }
  return sum
}

/** Row `row` of a b, for a [m, rank] and b [rank, n]. */
function productRow(a: Float32Array, b: Float32Array, rank: number, row: number, out: Float64Array): void {
  out.fill(0)
  for (let r = 0; r < rank; r++) {
    const factor = a[row * rank + r]
    for (let k = 0; k < out.length; k++) out[k] += factor * b[r * out.length + k]
  }
}
