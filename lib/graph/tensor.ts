/**
 * Tensors of the graph: names for values that will exist when the program runs. Row-major, channels last:
 * an image is [N, H, W, C], tokens are [N, T, C], a linear weight is [N out, K in], a convolution [O, kh, kw, C].
 */

export type DType = 'f32' | 'bf16' | 'i32'

/** The dtype of activations and matrices. Accumulation, statistics and losses are always f32. */
export type ComputeDType = 'f32' | 'bf16'

/** Where the bytes of a tensor lie when the program runs. */
export type Storage =
  /** In the arena of intermediates; the memory plan chooses the offset. */
  | { space: 'arena' }
  /** A frozen weight of the engine's weight store. */
  | { space: 'weight'; name: string }
  /** In a named flat buffer that outlives the program (params, shadow, grads, optimizer state). Offset in bytes. */
  | { space: 'buffer'; name: string; offset: number }

export interface Tensor {
  readonly id: number
  /** For messages, dumps and plans; not unique. */
  readonly name: string
  readonly shape: readonly number[]
  readonly dtype: DType
  readonly storage: Storage
  /** Set when this tensor is a trainable parameter: where its gradient accumulates (f32, same shape). */
  readonly gradient?: { buffer: string; offset: number }
}

export const bytesPerElement: Record<DType, number> = { f32: 4, bf16: 2, i32: 4 }

export function elements(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1)
}

export function bytesOf(tensor: Pick<Tensor, 'shape' | 'dtype'>): number {
  return elements(tensor.shape) * bytesPerElement[tensor.dtype]
}

/** The last extent: a tensor [.., C] is a matrix of `rows` rows and `columns` columns. */
export function columns(tensor: Pick<Tensor, 'shape'>): number {
  return tensor.shape[tensor.shape.length - 1] ?? 1
}

export function rows(tensor: Pick<Tensor, 'shape'>): number {
  return elements(tensor.shape.slice(0, -1))
}

/** "h [2, 64, 64, 320] bf16" */
export function describe(tensor: Tensor | undefined): string {
  return tensor ? `${tensor.name} [${tensor.shape.join(', ')}] ${tensor.dtype}` : 'nothing'
}
