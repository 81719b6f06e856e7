/** Tensors of files as the addon reads them: straight from the file into the weight store, never through JavaScript. */
import { LorikeetError } from '../base/errors'
import type { WeightSource } from '../native'
import type { WeightLocation } from './checkpoint'

const dtypes: Partial<Record<string, 'f32' | 'f16' | 'bf16' | 'f64'>> = { F32: 'f32', F16: 'f16', BF16: 'bf16', F64: 'f64' }

/** A tensor of a file as a source; convolution weights [O, I, kh, kw] arrive as [O, kh, kw, I]. */
export function fileSource({ file, dtype, shape, offset, bytes }: WeightLocation): WeightSource {
  const known = dtypes[dtype]
  if (!known)
    throw new LorikeetError('input', `a weight is stored as ${dtype}`, {
      where: file,
      expected: 'F32, F16, BF16 or F64',
      fix: 'Use the unquantised version of this model',
    })
  const isConvolution = shape.length === 4 && shape.slice(2).some((extent) => extent > 1)
  return { kind: 'file', path: file, offset, bytes, dtype: known, shape, layout: isConvolution ? 'oihw' : 'plain' }
}
