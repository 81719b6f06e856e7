/**
 * A LoRA read from a file and added to a network as it is, with a strength: for generation, for tests of what was trained,
 * and for training on top of a stack. Its factors are frozen weights, read straight from the file.
 */
import { LorikeetError } from '../base/errors'
import type { LoraFile, LoraModule } from '../formats/lora-file'
import { createTensor, type Graph } from '../graph/graph'
import type { LowRank } from '../graph/ops/low_rank'
import { elements } from '../graph/tensor'
import type { AdapterSite, AdapterSource, NetworkName } from './site'
import type { WeightSource, WeightSpec } from '../native'
import { fileSource } from '../formats/weight-source'

export interface FrozenLora extends AdapterSource {
  /** The factors that were asked for while building, to be loaded before the program is compiled. */
  weights: Map<string, WeightSpec>
}

/**
 * @param key distinguishes the weights of several files in one weight store
 * @param strengths by network; 0 adds nothing at all, so that the result has the bits of the base
 * @throws LorikeetError (input) for kinds that cannot be applied
 */
export function createFrozenLora(
  key: string,
  lora: LoraFile,
  strengths: Readonly<Record<NetworkName, number>>,
): FrozenLora {
  for (const module of lora.modules.values()) requireApplicable(lora, module)
  const weights = new Map<string, WeightSpec>()
  return {
    weights,
    lowRank(graph: Graph, site: AdapterSite): LowRank[] {
      const strength = strengths[site.network]
      if (strength === 0) return []
      const network = site.network === 'text_encoder' ? 'te' : site.network
      const parts = site.parts.flatMap(({ path, outputs }, i) => {
        const module = lora.modules.get(`${network}.${path}`)
        return module ? [{ module, path, column: i * outputs, outputs }] : []
      })
      const scales = [...new Set(parts.map((part) => part.module.scale))]
      return scales.map((scale) => {
        const group = parts.filter((part) => part.module.scale === scale)
        const ranks = group.map((part) => part.module.rank ?? 0)
        const add = (name: string, shape: number[], sources: WeightSource[]) => {
          weights.set(name, { name, dtype: graph.dtype, shape, sources })
          return createTensor(name, shape, graph.dtype, { space: 'weight', name })
        }
        const at = `${key}/${site.network}/${group.map((part) => part.path).join('+')}`
        const total = ranks.reduce((a, b) => a + b, 0)
        const downs = group.map((part, i) => source(lora, part.module, 'lora_down', [ranks[i] ?? 0, ...site.window]))
        let row = 0
        const ups = group.map((part, i) => {
          const rank = ranks[i] ?? 0
          const shape = [part.outputs, rank]
          const name = `${key}/${site.network}/${part.path}.lora_up`
          const up = add(name, shape, [source(lora, part.module, 'lora_up', shape)])
          const placed = { up, column: part.column, rank: row }
          row += rank
          return placed
        })
        return { down: add(`${at}.lora_down`, [total, ...site.window], downs), ups, scale: scale * strength }
      })
    },
  }
}

function requireApplicable(lora: LoraFile, { rawName, kind, dora, tensors }: LoraModule): void {
  const plain = (kind === 'lora' || kind === 'locon') && !dora && !tensors.has('lora_mid')
  if (plain) return
  throw new LorikeetError('input', `${rawName} is ${dora ? 'a DoRA' : `of the kind ${kind}`}, which cannot be applied`, {
    where: lora.file.path,
    expected: 'LoRA or LoCon modules',
    fix: 'Convert it to a plain LoRA first',
  })
}

function source(lora: LoraFile, module: LoraModule, role: 'lora_down' | 'lora_up', shape: readonly number[]): WeightSource {
  const tensor = lora.file.tensors.get(module.tensors.get(role) ?? '')
  if (!tensor || elements(tensor.shape) !== elements(shape))
    throw new LorikeetError('input', `${module.rawName}.${role} does not fit its layer`, {
      where: lora.file.path,
      expected: `${elements(shape)} values`,
      received: tensor ? `[${tensor.shape.join(', ')}]` : 'nothing',
    })
  return fileSource({ file: lora.file.path, ...tensor })
}
