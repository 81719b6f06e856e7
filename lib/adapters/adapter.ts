/**
 * What an adapter kind is: how it starts, how it rewrites the layers it sits on, and how its weights are named in files.
 * A trainable adapter is an `AdapterSource` for network builders; its parameters live in the flat arena.
 */
import type { z } from 'zod'
import type { ParameterSet } from '../graph/parameters'
import type { AdapterSource, NetworkName } from './site'

/** A tensor as an adapter file holds it: kohya's key, its shape there, f32 values. */
export interface FileTensor {
  name: string
  shape: readonly number[]
  data: Float32Array
}

/** Reads or writes elements of the flat arena of parameters. */
export interface ParameterAccess {
  read(offset: number, count: number): Float32Array
  write(offset: number, values: Float32Array): void
}

/** Where one layer's factors lie, and how strong they are. */
export interface AdaptedModule {
  network: NetworkName
  /** Module path, e.g. `mid_block.attentions.0.proj_in`. */
  path: string
  rank: number
  alpha: number
}

export interface TrainableAdapter extends AdapterSource {
  /** The layers it sits on, in build order; complete once every network has been built. */
  modules(): AdaptedModule[]
  /** The parameters (or, from the gradient arena, their gradients) under the names and shapes of the file. */
  toFile(access: Pick<ParameterAccess, 'read'>, options?: { alphas: boolean }): FileTensor[]
  /** Sets the parameters from tensors of a file; returns the names that it did not find a place for. */
  fromFile(tensors: ReadonlyMap<string, FileTensor>, access: ParameterAccess): string[]
}

export interface AdapterKind<Options = unknown> {
  name: string
  /** The keys of the recipe that belong to this kind. */
  options: z.ZodType<Options>
  create(set: ParameterSet, options: Options): TrainableAdapter
}
