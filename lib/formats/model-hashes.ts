/**
 * The hashes by which UIs recognise a LoRA even after its metadata was edited, as kohya's sd-scripts computes them
 * (library/train_util.py:3259-3299): over the file as it would be with only the `ss_*` metadata.
 */
import { createHash } from 'node:crypto'
import { formatHeader, layoutSort } from './safetensors-header'
import { tensorBytes, type TensorData } from './safetensors'

const legacyStart = 0x100000
const legacyLength = 0x10000

/**
 * @returns `sshs_model_hash`, sha256 of everything behind the header; `sshs_legacy_hash`, the first 8 digits of the
 *   sha256 of 64 KiB at 1 MiB (of nothing, where the file is shorter); and `modelspec.hash_sha256`, which is the first
 *   again
 */
export function modelHashes(
  tensors: readonly TensorData[],
  metadata: Readonly<Record<string, string>>,
): Record<'sshs_model_hash' | 'sshs_legacy_hash' | 'modelspec.hash_sha256', string> {
  const sorted = layoutSort(tensors)
  const kept = Object.fromEntries(Object.entries(metadata).filter(([key]) => key.startsWith('ss_')))
  const whole = createHash('sha256')
  const window = createHash('sha256')
  let position = 0
  const take = (bytes: Uint8Array) => {
    const from = Math.max(0, legacyStart - position)
    const to = Math.min(bytes.length, legacyStart + legacyLength - position)
    if (from < to) window.update(bytes.subarray(from, to))
    position += bytes.length
  }
  take(formatHeader(sorted, kept))
  for (const tensor of sorted) {
    const bytes = tensorBytes(tensor)
    whole.update(bytes)
    take(bytes)
  }
  const hash = whole.digest('hex')
  return {
    sshs_model_hash: hash,
    sshs_legacy_hash: window.digest('hex').slice(0, 8),
    'modelspec.hash_sha256': `0x${hash}`,
  }
}
