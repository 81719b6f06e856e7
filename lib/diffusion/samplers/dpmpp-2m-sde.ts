/** The stochastic form of DPM-Solver++(2M) (diffusers' algorithm_type "sde-dpmsolver++"). */
import { dpmppRun } from './dpmpp-2m'
import type { Sampler } from './sampler'

export const dpmpp2mSdeKarras: Sampler = {
  name: 'dpmpp_2m_sde_karras',
  label: 'DPM++ 2M SDE Karras',
  usesNoise: true,
  begin: (schedule, steps, options) => dpmppRun(schedule, steps, options, { karras: true, stochastic: true }),
}
