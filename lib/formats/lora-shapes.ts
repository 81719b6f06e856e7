/**
 * What the shapes of an adapter's parts say: its rank, and the weight [out, in, kernel...] that it changes. Formulas of
 * the kinds: LyCORIS lycoris/modules/*.py.
 */
import type { AdapterKind, Role } from './lora-roles'

export type Shapes = (role: Role) => readonly number[] | undefined

/** Undefined for kinds without a rank, and for LoKr with both factors whole. */
export function adapterRank(kind: AdapterKind, shape: Shapes): number | undefined {
  switch (kind) {
    case 'lora':
    case 'locon':
      return shape('lora_down')?.[0]
    case 'loha':
      return shape('hada_w1_b')?.[0]
    case 'lokr':
      return shape('lokr_w2_b')?.[0] ?? shape('lokr_w1_b')?.[0]
    case 'glora':
      return shape('a2')?.[0]
    default:
      return undefined
  }
}

/**
 * The size of the weight that the parts make, flattened to [out, in x kernel]; undefined where the parts do not show
 * it, and `contradiction` where they do not fit each other.
 */
export function adapterSize(kind: AdapterKind, shape: Shapes): [number, number] | undefined | 'contradiction' {
  switch (kind) {
    case 'lora':
    case 'locon':
      return pairSize(shape('lora_up'), shape('lora_down'), shape('lora_mid'))
    case 'loha': {
      const make = (a: Role, b: Role, t: Role) => factorsSize(shape(a), shape(b), shape(t))
      const first = make('hada_w1_a', 'hada_w1_b', 'hada_t1')
      const second = make('hada_w2_a', 'hada_w2_b', 'hada_t2')
      if (first === 'contradiction' || second === 'contradiction') return 'contradiction'
      return first[0] === second[0] && first[1] === second[1] ? first : 'contradiction'
    }
    case 'lokr': {
      const first = shape('lokr_w1') ? flat(shape('lokr_w1')) : factorsSize(shape('lokr_w1_a'), shape('lokr_w1_b'))
      const second = shape('lokr_w2')
        ? flat(shape('lokr_w2'))
        : factorsSize(shape('lokr_w2_a'), shape('lokr_w2_b'), shape('lokr_t2'))
      if (first === 'contradiction' || second === 'contradiction') return 'contradiction'
      return [first[0] * second[0], first[1] * second[1]]
    }
    case 'full':
      return shape('diff') ? flat(shape('diff')) : undefined
    case 'glora':
      return pairSize(shape('b1'), shape('b2'), undefined)
    default:
      return undefined
  }
}

/** Whether an adapter of this size can sit on a weight [out, in, kernel...]. */
export function fits(kind: AdapterKind, shape: Shapes, base: readonly number[]): boolean {
  const [out, inner] = flat(base)
  const count = (role: Role) => product(shape(role) ?? [])
  if (kind === 'ia3') return count('weight') === out || count('weight') === base[1]
  if (kind === 'norm') return base.length === 1 && count('w_norm') === out
  if (kind === 'oft' || kind === 'boft') {
    const blocks = shape('oft_blocks') ?? []
    return blocks.length >= 3 && (blocks.at(-3) ?? 0) * (blocks.at(-1) ?? 0) === out
  }
  if (kind === 'full' && !shape('diff')) return count('diff_b') === out
  const size = adapterSize(kind, shape)
  return size !== undefined && size !== 'contradiction' && size[0] === out && size[1] === inner
}

type Size = [number, number] | 'contradiction'

/** up [out, r, ...] and down [r, in, kernel...]; with a core (Tucker) mid [r, r, kernel...], and 1x1 factors. */
function pairSize(up?: readonly number[], down?: readonly number[], mid?: readonly number[]): Size {
  if (!up || !down || up.length < 2 || down.length < 2 || down[0] === 0) return 'contradiction'
  if (product(up) !== up[0] * up[1]) return 'contradiction'
  if (!mid) return up[1] === down[0] ? [up[0], product(down.slice(1))] : 'contradiction'
  if (mid.length < 3 || mid[0] !== up[1] || mid[1] !== down[0]) return 'contradiction'
  return [up[0], product(down.slice(1)) * product(mid.slice(2))]
}

/** a [out, r] and b [r, in x kernel]; with a core t [r, r, kernel...], a [r, out] and b [r, in]. */
function factorsSize(a?: readonly number[], b?: readonly number[], core?: readonly number[]): Size {
  if (!a || !b || a.length !== 2 || b.length < 2 || b[0] === 0) return 'contradiction'
  if (!core) return a[1] === b[0] ? [a[0], product(b.slice(1))] : 'contradiction'
  if (core.length < 3 || core[0] !== a[0] || core[1] !== b[0]) return 'contradiction'
  return [a[1], b[1] * product(core.slice(2))]
}

function flat(shape: readonly number[] = []): [number, number] {
  return [shape[0] ?? 0, product(shape.slice(1))]
}

function product(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1)
}
