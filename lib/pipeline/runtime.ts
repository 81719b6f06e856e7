/**
 * A family's networks on one device: weights loaded when a network is first needed, programs compiled once per shape, the
 * applied LoRAs. What encoding, generation and training share.
 */
import { createFrozenLora, type FrozenLora } from '../adapters/frozen-lora'
import { LorikeetError } from '../base/errors'
import { baseModules, parseLoraFile, requireLoraFits, type BaseModules } from '../formats/lora-file'
import { openSafetensors } from '../formats/safetensors'
import { createGraph } from '../graph/graph'
import { createScope, type AdapterSource, type NetworkName, type Scope, type WeightRequest } from '../models/scope'
import type { ParameterSet } from '../graph/parameters'
import type { Engine, StorageError } from '../native'
import type { BaseModel } from './base-model'
import { storageReport, type StorageReport } from './base-precision'
import { heldBase, type BaseOptions } from './held-base'
import { compileGraph, type CompiledProgram } from './compile'
import type { Device } from './device'
import { surveyNetworks } from './networks'
import { weightSpec } from './weight-specs'

/** A LoRA file on top of the base. */
export interface LoraUse {
  file: string
  /** Of the UNet, and of the text encoder where nothing else is said. 1 is as trained, 0 nothing. */
  strength: number
  clipStrength?: number
}

/** Something under training, on top of the base and its LoRAs. */
export interface Live {
  adapters: readonly AdapterSource[]
  networks: readonly NetworkName[]
  /** In full training: the parameters that stand in for the networks' weights. */
  trainable?: ParameterSet
}

export interface Runtime {
  base: BaseModel
  device: Device
  engine: Engine
  /** The applied LoRAs, for graphs that others build. */
  adapters(): readonly AdapterSource[]
  applyLoras(uses: readonly LoraUse[]): void
  /** What a trainer is changing, so that previews see it; its programs read the flat arena as it stands. */
  setLive(live: Live | undefined): void
  live(): Live | undefined
  /** Loads what is not there yet. */
  loadWeights(requests: Iterable<WeightRequest>): Promise<void>
  /** The program of that key, built and compiled when it is asked for the first time since the LoRAs changed. */
  program(key: string, network: NetworkName, build: (scope: Scope) => void): Promise<CompiledProgram>
  /** Frees the weights and programs of a network; they come back when they are needed. */
  unload(network: NetworkName): void
  close(): void
}

export interface RuntimeOptions extends BaseOptions {
  /** Of the random weights of `random:` bases. */
  seed: number
  onProgress?: (progress: { network: NetworkName; done: number; total: number }) => void
  /** When the matrices of a network were stored in fewer bits; told once, however often it is loaded. */
  onStored?: (network: NetworkName, report: StorageReport) => void
}

export function createRuntime(base: BaseModel, device: Device, options: RuntimeOptions): Runtime {
  const { seed, basePrecision = 'full', onProgress, onStored } = options
  const { onHost } = heldBase(base, device, options)
  const engine = device.openEngine()
  const loaded = new Map<string, NetworkName>()
  const programs = new Map<string, { network: NetworkName; compiled: CompiledProgram }>()
  const told = new Set<NetworkName>()
  let loras: FrozenLora[] = []
  let live: Live | undefined
  let generation = 0

  const releaseWhere = (gone: (network: NetworkName) => boolean) => {
    for (const [key, { network, compiled }] of programs) {
      if (!gone(network)) continue
      engine.release(compiled.handle)
      programs.delete(key)
    }
  }

  const reportStorage = (requests: readonly WeightRequest[], errors: readonly StorageError[]) => {
    for (const network of new Set(requests.map((request) => request.network))) {
      if (told.has(network)) continue
      const own = requests.filter((request) => request.network === network)
      const report = storageReport(own, errors.filter(({ name }) => name.startsWith(`${network}/`)), basePrecision)
      if (report) onStored?.(network, report)
      told.add(network)
    }
  }

  const runtime: Runtime = {
    base,
    device,
    engine,
    adapters: () => loras,
    applyLoras(uses) {
      const used = new Set(loras.flatMap((lora) => [...lora.weights.keys()]))
      releaseWhere(() => true)
      engine.removeWeights([...used].filter((name) => loaded.delete(name)))
      loras = uses.map((use, i) => openLora(base, use, `lora${generation}.${i}`))
      generation++
    },
    setLive(next) {
      const affected = [...(live?.networks ?? []), ...(next?.networks ?? [])]
      releaseWhere((network) => affected.includes(network))
      live = next
    },
    live: () => live,
    async loadWeights(requests) {
      const missing = [...requests].filter((request) => !loaded.has(request.name))
      const network = missing[0]?.network
      const specs = missing.map((request) =>
        weightSpec(request, base.tensors(request.network), { dtype: device.computeDtype, seed, basePrecision, onHost }),
      )
      const errors = network
        ? await engine.addWeights(specs, (done, total) => onProgress?.({ network, done, total }))
        : []
      for (const request of missing) loaded.set(request.name, request.network)
      reportStorage(missing, errors)
      const factors = loras.flatMap((lora) => [...lora.weights.values()]).filter((spec) => !loaded.has(spec.name))
      if (factors.length > 0) await engine.addWeights(factors)
      for (const spec of factors) loaded.set(spec.name, spec.name.includes('/text_encoder/') ? 'text_encoder' : 'unet')
    },
    async program(key, network, build) {
      const known = programs.get(key)
      if (known) return known.compiled
      const graph = createGraph(key, device.computeDtype)
      const mine = live?.networks.includes(network) ? live : undefined
      const scope = createScope(graph, network, {
        adapters: [...loras, ...(mine?.adapters ?? [])],
        ...(mine?.trainable && { trainable: mine.trainable }),
      })
      build(scope)
      if (!mine?.trainable) await runtime.loadWeights(scope.requests.values())
      const compiled = compileGraph(engine, graph)
      programs.set(key, { network, compiled })
      return compiled
    },
    unload(network) {
      releaseWhere((other) => other === network)
      const names = [...loaded].filter(([, owner]) => owner === network).map(([name]) => name)
      for (const name of names) loaded.delete(name)
      engine.removeWeights(names)
    },
    close: () => engine.close(),
  }
  return runtime
}

function openLora(base: BaseModel, { file, strength, clipStrength = strength }: LoraUse, key: string): FrozenLora {
  for (const value of [strength, clipStrength])
    if (!Number.isFinite(value)) throw new LorikeetError('usage', 'the strength of a LoRA must be a number', { where: file })
  const lora = parseLoraFile(openSafetensors(file), modulesOf(base))
  requireLoraFits(lora, base.family)
  return createFrozenLora(key, lora, { unet: strength, text_encoder: clipStrength, vae: 0 })
}

/** The modules that a LoRA file may name: every layer of the networks, with the shape of its weight in files. */
export function modulesOf(base: BaseModel): BaseModules {
  if (base.checkpoint) return baseModules(base.checkpoint)
  const modules = new Map<string, readonly number[]>()
  for (const { network, parts } of surveyNetworks(base.config).requests)
    for (const { tensor, shape } of parts)
      if (network !== 'vae' && tensor.endsWith('.weight'))
        modules.set(`${network === 'unet' ? 'unet' : 'te'}.${tensor.slice(0, -'.weight'.length)}`, shape)
  return modules
}
