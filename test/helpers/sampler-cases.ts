/** The cases of the fixture sd15-tiny/samplers: which sampler, and what differs from its defaults. */
import type { SamplerOptions } from '../../lib/diffusion/samplers'

export const samplerCases: Record<string, [sampler: string, options?: Partial<SamplerOptions>]> = {
  ddim: ['ddim'],
  ddim_trailing_vpred: ['ddim', { spacing: 'trailing', prediction: 'v_prediction' }],
  euler: ['euler'],
  euler_linspace: ['euler', { spacing: 'linspace' }],
  euler_trailing: ['euler', { spacing: 'trailing' }],
  euler_karras: ['euler_karras'],
  euler_a: ['euler_a'],
  dpmpp_2m: ['dpmpp_2m'],
  dpmpp_2m_karras: ['dpmpp_2m_karras'],
  dpmpp_2m_sde_karras: ['dpmpp_2m_sde_karras'],
}
