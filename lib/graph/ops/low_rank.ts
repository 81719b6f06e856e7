/**
 * The low-rank (LoRA) operands that `linear` and `conv2d` share.
 *
 * An adapter adds scale * up(down(x)) to the layer. One `down` [R, K] may serve several `up`s that write different
 * output columns (q, k, v fused in one weight share one h = x downᵀ), and several adapters may add to one layer (a
 * stack).
 */
import { checkShape, listAttribute, opError, required, type Attributes, type Operand } from '../op'
import type { Tensor } from '../tensor'

export interface LowRankUp {
  /** [n, r]: n output columns from `column` on, fed by h[:, rank .. rank + r]. */
  up: Tensor
  column: number
  rank: number
}

export interface LowRank {
  /** [R, K] of a linear, [R, kh, kw, C] of a convolution. */
  down: Tensor
  ups: readonly LowRankUp[]
  /** strength * alpha / rank */
  scale: number
}

export function lowRankAttributes(adapters: readonly LowRank[]): Attributes {
  const ups = adapters.flatMap((adapter, i) => adapter.ups.map((up) => ({ ...up, adapter: i })))
  return {
    adapters: adapters.length,
    up_adapter: ups.map((up) => up.adapter),
    up_column: ups.map((up) => up.column),
    up_rank: ups.map((up) => up.rank),
    scale: adapters.map((adapter) => adapter.scale),
  }
}

/** Operands in the order of the op: all downs, then all ups. */
export function lowRankOperands(adapters: readonly LowRank[]): Tensor[] {
  return [...adapters.map((a) => a.down), ...adapters.flatMap((a) => a.ups.map((up) => up.up))]
}

/** The adapters of an op, read back from operands `first`.. and attributes; checks that they fit the layer. */
export function readLowRank(
  op: string,
  inputs: readonly Operand[],
  attributes: Attributes,
  first: number,
  layer: { outputs: number; down: readonly number[] },
): LowRank[] {
  const count = attributes.adapters as number
  const owner = listAttribute(op, attributes, 'up_adapter')
  const column = listAttribute(op, attributes, 'up_column')
  const rank = listAttribute(op, attributes, 'up_rank')
  const scale = listAttribute(op, attributes, 'scale')
  if (scale.length !== count) throw opError(op, `${count} adapters but ${scale.length} scales`)
  return scale.map((factor, a) => {
    const down = required(op, inputs, first + a, `down of adapter ${a}`)
    checkShape(op, down, [down.shape[0] ?? 0, ...layer.down], `down of adapter ${a}`)
    const ups = owner.flatMap((who, u) => {
      if (who !== a) return []
      const up = required(op, inputs, first + count + u, `up ${u}`)
      const [n = 0, r = 0] = up.shape
      const at = { up, column: column[u] ?? 0, rank: rank[u] ?? 0 }
      if (up.shape.length !== 2 || at.column + n > layer.outputs || at.rank + r > (down.shape[0] ?? 0))
        throw opError(op, `up ${u} at column ${at.column}, rank ${at.rank} does not fit the layer or its down`, [
          up,
          down,
        ])
      return [at]
    })
    return { down, ups, scale: factor }
  })
}

/** Flops of the thin products of one pass over M rows. */
export function lowRankFlops(adapters: readonly LowRank[], rows: number): number {
  const one = (tensor: Tensor) => tensor.shape.reduce((a, b) => a * b, 2) * rows
  return adapters.reduce((sum, a) => sum + one(a.down) + a.ups.reduce((s, up) => s + one(up.up), 0), 0)
}
