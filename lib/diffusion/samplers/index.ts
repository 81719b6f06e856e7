/** The samplers, by their names on the command line. */
import { LorikeetError } from '../../base/errors'
import { ddim } from './ddim'
import { dpmpp2m, dpmpp2mKarras } from './dpmpp-2m'
import { dpmpp2mSdeKarras } from './dpmpp-2m-sde'
import { euler, eulerKarras } from './euler'
import { eulerA } from './euler-a'
import type { Sampler } from './sampler'

export { type Sampler, type SamplerOptions, type SamplerRun, type Spacing, spacings } from './sampler'

export const samplers: readonly Sampler[] = [
  ddim, euler, eulerA, dpmpp2m, dpmpp2mKarras, eulerKarras, dpmpp2mSdeKarras,
]

export function findSampler(name: string): Sampler {
  const sampler = samplers.find((candidate) => candidate.name === name)
  if (!sampler) {
    throw new LorikeetError('usage', 'there is no such sampler', {
      where: 'sampler', expected: samplers.map((candidate) => candidate.name).join(', '), received: name })
  }
  return sampler
}
