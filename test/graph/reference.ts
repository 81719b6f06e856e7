/**
 * The forward ops in double precision, written from their formulas and as plainly as possible: the oracle of the
 * conformance test. Operands are row-major; shapes and attributes are those of the op's file in lib/graph/ops.
 */
import type { Graph, Operation } from '../../lib/graph/graph'
import type { Attributes } from '../../lib/graph/op'
import type { Tensor } from '../../lib/graph/tensor'

export interface Value {
  shape: readonly number[]
  data: Float64Array
}

type Operands = readonly (Value | undefined)[]
type Reference = (inputs: Operands, attributes: Attributes) => Float64Array[]

/** What every tensor of a forward graph is, from the values of its inputs, parameters and weights. */
export function evaluate(graph: Graph, leaf: (tensor: Tensor) => Float64Array): Map<Tensor, Float64Array> {
  const values = new Map<Tensor, Float64Array>()
  const read = (tensor: Tensor | undefined): Value | undefined =>
    tensor && { shape: tensor.shape, data: values.get(tensor) ?? leaf(tensor) }
  for (const op of graph.ops) if (op.phase === 'forward') run(op, read, values)
  return values
}

function run(
  op: Operation,
  read: (tensor: Tensor | undefined) => Value | undefined,
  values: Map<Tensor, Float64Array>,
): void {
  const reference = references[op.definition.name]
  if (!reference) throw new Error(`there is no reference for ${op.definition.name}`)
  const results = reference(op.inputs.map(read), op.attributes)
  op.outputs.forEach((output, i) => {
    if (output && results[i]) values.set(output, results[i])
  })
}

const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1)
const last = (value: Value) => value.shape.at(-1)!
const mean = (list: ArrayLike<number>) => Array.from(list).reduce((a, b) => a + b, 0) / list.length
const list = (attributes: Attributes, name: string) => attributes[name] as readonly number[]
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x))

/** P(X < x) of the standard normal distribution: ½ + φ(x)·Σ x^(2k+1)/(2k+1)!!, whose terms all have one sign. */
function normalCdf(x: number): number {
  if (Math.abs(x) > 8.5) return x < 0 ? 0 : 1 // to 1e-17
  let term = x
  let sum = x
  for (let k = 1; k < 200; k++) sum += term *= (x * x) / (2 * k + 1)
  return 0.5 + (Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI)) * sum
}

const activations: Record<string, (x: number) => number> = {
  silu: (x) => x * sigmoid(x),
  gelu: (x) => x * normalCdf(x),
  gelu_tanh: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  quick_gelu: (x) => x * sigmoid(1.702 * x),
}

const losses: Record<string, (d: number, c: number) => number> = {
  l2: (d) => d * d,
  l1: Math.abs,
  huber: (d, c) => 2 * c * (Math.sqrt(d * d + c * c) - c),
  smooth_l1: (d, c) => 2 * (Math.sqrt(d * d + c * c) - c),
}

/** Where a vector [N, C] of the sample has what belongs to element i of x [N, .., C]. */
const ofSample = (x: Value, i: number) => Math.floor(i / product(x.shape.slice(1))) * last(x) + (i % last(x))

/** Cross-correlation over channels-last images; a linear layer is the case of one pixel a row and a 1x1 kernel. */
function correlate(x: Value, w: Value, stride: number, padding: readonly number[]): Value {
  const [n, h, width, c] = x.shape as [number, number, number, number]
  const [o, kh, kw] = w.shape as [number, number, number]
  const [top, bottom, left, right] = padding as [number, number, number, number]
  const ho = Math.floor((h + top + bottom - kh) / stride) + 1
  const wo = Math.floor((width + left + right - kw) / stride) + 1
  const data = new Float64Array(n * ho * wo * o)
  for (let i = 0; i < data.length; i++) {
    const channel = i % o
    const column = Math.floor(i / o) % wo
    const row = Math.floor(i / o / wo) % ho
    const image = Math.floor(i / o / wo / ho)
    let sum = 0
    for (let a = 0; a < kh; a++)
      for (let b = 0; b < kw; b++) {
        const y = row * stride + a - top
        const z = column * stride + b - left
        if (y < 0 || y >= h || z < 0 || z >= width) continue
        for (let k = 0; k < c; k++)
          sum += x.data[((image * h + y) * width + z) * c + k]! * w.data[((channel * kh + a) * kw + b) * c + k]!
      }
    data[i] = sum
  }
  return { shape: [n, ho, wo, o], data }
}

/** y, and h of each adapter: the base product plus bias, plus scale * h[:, rank..] * upT into columns column.. of y. */
function lowRankProduct(inputs: Operands, attributes: Attributes, apply: (w: Value) => Value): Float64Array[] {
  const [, w, bias] = inputs
  const y = apply(w!)
  const outputs = last(y)
  const rows = y.data.length / outputs
  for (let i = 0; i < y.data.length; i++) y.data[i]! += bias?.data[i % outputs] ?? 0
  const count = attributes.adapters as number
  const hs = inputs.slice(3, 3 + count).map((down) => apply(down!))
  inputs.slice(3 + count).forEach((up, u) => {
    const adapter = list(attributes, 'up_adapter')[u]!
    const [n, r] = up!.shape as [number, number]
    const h = hs[adapter]!
    for (let row = 0; row < rows; row++)
      for (let j = 0; j < n; j++) {
        let sum = 0
        for (let k = 0; k < r; k++)
          sum += h.data[row * last(h) + list(attributes, 'up_rank')[u]! + k]! * up!.data[j * r + k]!
        y.data[row * outputs + list(attributes, 'up_column')[u]! + j]! += list(attributes, 'scale')[adapter]! * sum
      }
  })
  return [y.data, ...hs.map((h) => h.data)]
}

function normalise(x: Float64Array, eps: number): { mean: number; scale: number } {
  const center = mean(x)
  return { mean: center, scale: 1 / Math.sqrt(mean(x.map((v) => (v - center) ** 2)) + eps) }
}

/** q [n, t, head, d] from one, two or three sources. */
function attentionSource(
  inputs: Operands,
  which: number,
  width: number,
): (n: number, token: number, column: number) => number {
  const source = inputs[Math.min(which, inputs.length - 1)]!
  const total = last(source)
  const offset = inputs.length === 1 ? which * width : inputs.length === 2 && which === 2 ? width : 0
  const tokens = product(source.shape.slice(1, -1))
  return (n, token, column) => source.data[(n * tokens + token) * total + offset + column]!
}

const references: Record<string, Reference> = {
  activation: ([x], { kind }) => [x!.data.map(activations[kind as string]!)],

  add: ([a, b]) => [a!.data.map((v, i) => v + b!.data[i]!)],

  attention(inputs, { heads, causal, scale }) {
    const width = inputs.length === 1 ? last(inputs[0]!) / 3 : last(inputs[0]!)
    const d = width / (heads as number)
    const batch = inputs[0]!.shape[0]!
    const tq = product(inputs[0]!.shape.slice(1, -1))
    const tk = product((inputs[1] ?? inputs[0]!).shape.slice(1, -1))
    const [q, k, v] = [0, 1, 2].map((which) => attentionSource(inputs, which, width))
    const o = new Float64Array(batch * tq * width)
    const lse = new Float64Array(batch * (heads as number) * tq)
    for (let n = 0; n < batch; n++)
      for (let head = 0; head < (heads as number); head++)
        for (let i = 0; i < tq; i++) {
          const keys = Array.from({ length: causal ? i + 1 : tk }, (_, j) => j)
          const columns = Array.from({ length: d }, (_, c) => head * d + c)
          const scores = keys.map((j) => (scale as number) * columns.reduce((s, c) => s + q!(n, i, c) * k!(n, j, c), 0))
          const total = scores.reduce((s, score) => s + Math.exp(score), 0)
          lse[(n * (heads as number) + head) * tq + i] = Math.log(total)
          for (const c of columns)
            o[(n * tq + i) * width + c] = keys.reduce((s, j) => s + (Math.exp(scores[j]!) / total) * v!(n, j, c), 0)
        }
    return [o, lse]
  },

  cast: ([x]) => [x!.data.slice()],

  concat([a, b]) {
    const rows = a!.data.length / last(a!)
    const parts = Array.from({ length: rows }, (_, r) =>
      [a!, b!].map((p) => p.data.slice(r * last(p), (r + 1) * last(p))),
    )
    return [Float64Array.from(parts.flat().flatMap((part) => [...part]))]
  },

  conv2d: (inputs, attributes) =>
    lowRankProduct(inputs, attributes, (w) =>
      correlate(inputs[0]!, w, attributes.stride as number, list(attributes, 'padding')),
    ),

  embedding([ids, token, position]) {
    const c = last(token!)
    const length = last(ids!)
    return [
      Float64Array.from(
        Array.from(ids!.data).flatMap((id, i) =>
          Array.from({ length: c }, (_, k) => token!.data[id * c + k]! + position!.data[(i % length) * c + k]!),
        ),
      ),
    ]
  },

  gaussian_kl([moments]) {
    const c = last(moments!)
    const batch = moments!.shape[0]!
    const size = moments!.data.length / batch
    const perSample = Float64Array.from({ length: batch }, (_, n) => {
      const terms: number[] = []
      for (let i = n * size; i < (n + 1) * size; i++) {
        if (i % c >= c / 2) continue
        const logvar = Math.min(20, Math.max(-30, moments!.data[i + c / 2]!))
        terms.push(0.5 * (moments!.data[i]! ** 2 + Math.exp(logvar) - 1 - logvar))
      }
      return mean(terms)
    })
    return [perSample, Float64Array.of(mean(perSample))]
  },

  gate: ([x, z, gate]) => [x!.data.map((v, i) => v + gate!.data[ofSample(x!, i)]! * z!.data[i]!)],

  geglu([x]) {
    const f = last(x!) / 2
    return [
      Float64Array.from({ length: x!.data.length / 2 }, (_, i) => {
        const at = Math.floor(i / f) * 2 * f + (i % f)
        return x!.data[at]! * activations.gelu!(x!.data[at + f]!)
      }),
    ]
  },

  group_norm([x, gamma, beta, shift], { groups, eps, activation }) {
    const c = last(x!)
    const batch = x!.shape[0]!
    const size = x!.data.length / batch
    const shifted = x!.data.map((v, i) => v + (shift?.data[Math.floor(i / size) * c + (i % c)] ?? 0))
    const group = (i: number) =>
      Math.floor(i / size) * (groups as number) + Math.floor((i % c) / (c / (groups as number)))
    const members = Array.from({ length: batch * (groups as number) }, (): number[] => [])
    shifted.forEach((v, i) => members[group(i)]!.push(v))
    const stats = members.map((list) => normalise(Float64Array.from(list), eps as number))
    const y = shifted.map((v, i) => {
      const { mean: center, scale } = stats[group(i)]!
      const value = (v - center) * scale * gamma!.data[i % c]! + beta!.data[i % c]!
      return activation === 'silu' ? activations.silu!(value) : value
    })
    return [y, Float64Array.from(stats.flatMap((s) => [s.mean, s.scale]))]
  },

  layer_norm([x, gamma, beta], { eps }) {
    const c = last(x!)
    const rows = x!.data.length / c
    const stats = Array.from({ length: rows }, (_, r) => normalise(x!.data.slice(r * c, (r + 1) * c), eps as number))
    const y = x!.data.map((v, i) => {
      const { mean: center, scale } = stats[Math.floor(i / c)]!
      return (v - center) * scale * (gamma?.data[i % c] ?? 1) + (beta?.data[i % c] ?? 0)
    })
    return [y, Float64Array.from(stats.flatMap((s) => [s.mean, s.scale]))]
  },

  linear(inputs, attributes) {
    const x = inputs[0]!
    const pixels = { shape: [1, 1, x.data.length / last(x), last(x)], data: x.data }
    const kernel = (w: Value): Value => ({ shape: [w.shape[0]!, 1, 1, w.shape[1]!], data: w.data })
    return lowRankProduct(inputs, attributes, (w) => correlate(pixels, kernel(w), 1, [0, 0, 0, 0]))
  },

  loss([pred, target, weight, huberC], { kind }) {
    const batch = pred!.shape[0]!
    const size = pred!.data.length / batch
    const terms = pred!.data.map((v, i) =>
      losses[kind as string]!(v - target!.data[i]!, huberC?.data[Math.floor(i / size)] ?? 0),
    )
    const perSample = weight!.data.map((factor, n) => factor * mean(terms.slice(n * size, (n + 1) * size)))
    return [perSample, Float64Array.of(mean(perSample))]
  },

  modulate: ([x, scale, shift]) => [
    x!.data.map((v, i) => v * (1 + scale!.data[ofSample(x!, i)]!) + shift!.data[ofSample(x!, i)]!),
  ],

  reshape: ([x]) => [x!.data.slice()],

  rms_norm([x, weight], { eps }) {
    const c = last(x!)
    const stats = Float64Array.from({ length: x!.data.length / c }, (_, r) => {
      const row = x!.data.slice(r * c, (r + 1) * c)
      return 1 / Math.sqrt(mean(row.map((v) => v * v)) + (eps as number))
    })
    return [x!.data.map((v, i) => v * stats[Math.floor(i / c)]! * weight!.data[i % c]!), stats]
  },

  rotary_embedding([x, cos, sin], { inverse }) {
    const tokens = x!.shape[1]!
    const ofToken = product(x!.shape.slice(2))
    return [
      x!.data.map((v, i) => {
        const pair = Math.floor((i % (2 * last(cos!))) / 2)
        const angle = (Math.floor(i / ofToken) % tokens) * last(cos!) + pair
        const turn = (inverse ? -1 : 1) * sin!.data[angle]!
        return v * cos!.data[angle]! + (i % 2 === 0 ? -x!.data[i + 1]! * turn : x!.data[i - 1]! * turn)
      }),
    ]
  },

  sample_gaussian([moments, eps]) {
    const c = last(eps!)
    return [
      eps!.data.map((e, i) => {
        const at = Math.floor(i / c) * 2 * c + (i % c)
        return moments!.data[at]! + Math.exp(0.5 * Math.min(20, Math.max(-30, moments!.data[at + c]!))) * e
      }),
    ]
  },

  slice([x], { start, count }) {
    const c = last(x!)
    const columns = count as number
    return [
      Float64Array.from(
        { length: (x!.data.length / c) * columns },
        (_, i) => x!.data[Math.floor(i / columns) * c + (start as number) + (i % columns)]!,
      ),
    ]
  },

  upsample_nearest([x], { size }) {
    const [n, h, w, c] = x!.shape as [number, number, number, number]
    const [ho, wo] = size as readonly [number, number]
    return [
      Float64Array.from({ length: n * ho * wo * c }, (_, i) => {
        const column = Math.floor(i / c) % wo
        const row = Math.floor(i / c / wo) % ho
        const image = Math.floor(i / c / wo / ho)
        return x!.data[((image * h + Math.floor((row * h) / ho)) * w + Math.floor((column * w) / wo)) * c + (i % c)]!
      }),
    ]
  },
}
