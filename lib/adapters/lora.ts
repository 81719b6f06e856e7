/**
 * LoRA and LoCon: W' = W + (alpha / rank) · up · down (Hu et al. 2021, arXiv 2106.09685; 3x3 convolutions as in LyCORIS,
 * arXiv 2309.14859). Targets, initialisation, names and shapes as kohya sd-scripts networks/lora.py.
 *
 * Layers computed as one product (q, k, v) share one `down` parameter whose rows are the downs of its parts, so that
 * h = x·downᵀ is one thin product; files see them apart.
 */
import { z } from 'zod'
import { kohyaModuleName } from '../formats/keymaps/kohya'
import type { Graph } from '../graph/graph'
import type { LowRank } from '../graph/ops/low_rank'
import { parameter, type ParameterSet } from '../graph/parameters'
import { elements } from '../graph/tensor'
import type { AdapterSite, Container, NetworkName } from './site'
import type { AdaptedModule, AdapterKind, FileTensor, ParameterAccess, TrainableAdapter } from './adapter'
import { fromOhwi, toOhwi } from './layout'

export const loraOptions = z.strictObject({
  kind: z.literal('lora').default('lora'),
  rank: z.int().min(1).max(256).default(16).describe('Rank of linear layers and 1x1 convolutions'),
  alpha: z.number().positive().optional().describe('The update is scaled by alpha / rank; as the rank unless set'),
  conv_rank: z.int().min(1).max(256).optional().describe('Also train 3x3 convolutions (LoCon), with this rank'),
  conv_alpha: z.number().positive().optional().describe('As alpha, for convolutions; as conv_rank unless set'),
})

export type LoraOptions = z.infer<typeof loraOptions>

/** Rank and alpha of one layer; undefined leaves it alone. */
export type RankOf = (site: AdapterSite, path: string) => { rank: number; alpha: number } | undefined

const attentionContainers: readonly Container[] = ['transformer', 'clip_attention', 'clip_mlp']
const convolutionContainers: readonly Container[] = ['resnet', 'sampler']

/** sd-scripts' rule: everything in transformers; with conv_rank everything in resnets and samplers as well. */
export function ranksFromOptions({ rank, alpha, conv_rank: convRank, conv_alpha: convAlpha }: LoraOptions): RankOf {
  return ({ container, kind }) => {
    const targeted =
      attentionContainers.includes(container) || (convRank !== undefined && convolutionContainers.includes(container))
    if (!targeted) return undefined
    if (kind === 'conv') return convRank === undefined ? undefined : { rank: convRank, alpha: convAlpha ?? convRank }
    return { rank, alpha: alpha ?? rank }
  }
}

interface Part extends AdaptedModule {
  outputs: number
  kind: AdapterSite['kind']
  window: readonly number[]
  /** Offsets of the factors in the flat arena, in elements. */
  down: number
  up: number
}

/** @param rankOf which layers get factors of which size; from a recipe's options, or from a file to go on from */
export function createLora(set: ParameterSet, rankOf: RankOf): TrainableAdapter {
  const parts = new Map<string, Part>()
  return {
    lowRank: (_graph: Graph, site: AdapterSite) => buildSite(set, parts, site, rankOf),
    modules: () => [...parts.values()].map(({ network, path, rank, alpha }) => ({ network, path, rank, alpha })),
    toFile: (access, { alphas } = { alphas: true }) => [...parts.values()].flatMap((part) => partToFile(part, access, alphas)),
    fromFile: (tensors, access) => {
      const known = new Set([...parts.values()].flatMap((part) => partFromFile(part, tensors, access)))
      return [...tensors.keys()].filter((name) => !known.has(name) && !name.endsWith('.alpha'))
    },
  }
}

/** One LowRank per distinct scale of the site's parts; usually one. */
function buildSite(set: ParameterSet, known: Map<string, Part>, site: AdapterSite, rankOf: RankOf): LowRank[] {
  const targets = site.parts.flatMap(({ path, outputs }, i) => {
    const size = rankOf(site, path)
    return size ? [{ path, outputs, column: i * outputs, ...size, scale: size.alpha / size.rank }] : []
  })
  const scales = [...new Set(targets.map((target) => target.scale))]
  return scales.map((scale) => {
    const group = targets.filter((target) => target.scale === scale)
    const total = group.reduce((sum, target) => sum + target.rank, 0)
    const key = `${site.network}/${group.map((target) => target.path).join('+')}`
    const fanIn = elements(site.window)
    const down = parameter(set, `${key}.lora_down`, [total, ...site.window], {
      group: site.network,
      init: { kind: 'uniform', bound: 1 / Math.sqrt(fanIn) }, // kaiming_uniform(a = sqrt 5)
    })
    const downOffset = set.parameters.get(`${key}.lora_down`)!.offset
    let row = 0
    const ups = group.map(({ path, outputs, column, rank, alpha }) => {
      const name = `${site.network}/${path}.lora_up`
      const up = parameter(set, name, [outputs, rank], { group: site.network, init: { kind: 'zeros' } })
      const { network, kind, window } = site
      const offsets = { down: downOffset + row * fanIn, up: set.parameters.get(name)!.offset }
      known.set(`${network}/${path}`, { network, path, rank, alpha, outputs, kind, window, ...offsets })
      const at = { up, column, rank: row }
      row += rank
      return at
    })
    return { down, ups, scale }
  })
}

const fileNetwork: Record<NetworkName, 'unet' | 'te' | undefined> = { unet: 'unet', text_encoder: 'te', vae: undefined }

/** kohya's name of a layer, e.g. `lora_unet_mid_block_attentions_0_proj_in`. */
export function loraModuleName(network: NetworkName, path: string): string {
  const short = fileNetwork[network]
  if (!short) throw new Error(`no LoRA file has a network ${network}`)
  return kohyaModuleName(short, path)
}

/** [r, kh, kw, C] in the arena is [r, C, kh, kw] in the file; factors of 1x1 convolutions are 4-D there. */
function fileShapes({ kind, rank, outputs, window }: Part): { down: number[]; up: number[] } {
  if (kind === 'linear') return { down: [rank, ...window], up: [outputs, rank] }
  const [kh, kw, channels] = kind === 'conv' ? (window as [number, number, number]) : [1, 1, window[0] ?? 0]
  return { down: [rank, channels, kh, kw], up: [outputs, rank, 1, 1] }
}

function partToFile(part: Part, access: Pick<ParameterAccess, 'read'>, alphas: boolean): FileTensor[] {
  const name = loraModuleName(part.network, part.path)
  const shapes = fileShapes(part)
  const down = access.read(part.down, elements(shapes.down))
  return [
    ...(alphas ? [{ name: `${name}.alpha`, shape: [], data: Float32Array.of(part.alpha) }] : []),
    {
      name: `${name}.lora_down.weight`,
      shape: shapes.down,
      data: part.kind === 'conv' ? fromOhwi(down, shapes.down) : down,
    },
    { name: `${name}.lora_up.weight`, shape: shapes.up, data: access.read(part.up, elements(shapes.up)) },
  ]
}

function partFromFile(part: Part, tensors: ReadonlyMap<string, FileTensor>, access: ParameterAccess): string[] {
  const name = loraModuleName(part.network, part.path)
  const down = tensors.get(`${name}.lora_down.weight`)
  const up = tensors.get(`${name}.lora_up.weight`)
  const shapes = fileShapes(part)
  if (!down || !up || down.data.length !== elements(shapes.down) || up.data.length !== elements(shapes.up)) return []
  access.write(part.down, part.kind === 'conv' ? toOhwi(down.data, shapes.down) : down.data)
  access.write(part.up, up.data)
  return [down.name, up.name]
}

export const lora: AdapterKind<LoraOptions> = {
  name: 'lora',
  options: loraOptions,
  create: (set, options) => createLora(set, ranksFromOptions(options)),
}
