/**
 * The configuration files of a diffusers folder for a Stable Diffusion 1.x model. What decides about the network is
 * written as Lorikeet reads the model; what else the model's own files say is kept; the rest is as in the files of
 * runwayml/stable-diffusion-v1-5. Keys: diffusers models/unets/unet_2d_condition.py, models/autoencoders/
 * autoencoder_kl.py, schedulers/scheduling_*.py; transformers models/clip/configuration_clip.py.
 */
import { LorikeetError } from '../base/errors'
import type { CheckpointConfigs, Config } from '../formats/checkpoint'
import type { Dtype } from '../formats/dtypes'
import { type UnetTopology, unetTopology } from '../formats/keymaps/topology'
import { latentDownscale } from '../models/families/sd15'
import type { BaseModel } from '../pipeline/base-model'

export type DiffusersConfigs = Required<CheckpointConfigs>

/**
 * Written where the model names none. diffusers sets sample sizes below 64 back to 64 in files older than 0.9
 * (pipeline_stable_diffusion.py:256-284), so it must be newer.
 */
const diffusersVersion = '0.32.0'

/** The defaults of CLIPConfig, which the weights do not show. 2 stands for "the largest id" since CLIP's own files. */
const clipTokens = { bos_token_id: 0, eos_token_id: 2, pad_token_id: 1 }

/**
 * @param textDtype what the text encoder's weights are stored as
 * @throws LorikeetError (input) when the network cannot be described in diffusers' terms
 */
export function diffusersConfigs(base: BaseModel, textDtype: Dtype | undefined): DiffusersConfigs {
  const stated = base.checkpoint?.configs ?? {}
  const pixels = base.imageSize
  return {
    unet: sorted(unetConfig(base, keep(stated.unet), pixels / latentDownscale)),
    vae: sorted(vaeConfig(base, keep(stated.vae), pixels)),
    textEncoder: sorted(textConfig(base, keep(stated.textEncoder), textDtype)),
    scheduler: sorted(schedulerConfig(base, keep(stated.scheduler))),
  }
}

/** model_index.json: which class each part is loaded by. */
export function modelIndex(scheduler: Config): Config {
  return {
    _class_name: 'StableDiffusionPipeline',
    _diffusers_version: diffusersVersion,
    feature_extractor: [null, null],
    requires_safety_checker: false,
    safety_checker: [null, null],
    scheduler: ['diffusers', scheduler._class_name],
    text_encoder: ['transformers', 'CLIPTextModel'],
    tokenizer: ['transformers', 'CLIPTokenizer'],
    unet: ['diffusers', 'UNet2DConditionModel'],
    vae: ['diffusers', 'AutoencoderKL'],
  }
}

/** Numbers of CLIPTextConfig that are fractions by type; JavaScript would write 1.0 as 1. */
const fractions = /^( *"(?:attention_dropout|dropout|initializer_factor)": \d+)(,?)$/gm

/** A configuration as a file's text. */
export function configText(config: object): string {
  return `${JSON.stringify(config, null, 2).replace(fractions, '$1.0$2')}\n`
}

function unetConfig({ config, location, checkpoint }: BaseModel, stated: Config, sampleSize: number): Config {
  const { unet } = config
  const topology = unetTopology(checkpoint?.components.unet.tensors.keys() ?? [])
  const uniform = unet.heads.every((count) => count === unet.heads[0])
  return {
    act_fn: 'silu',
    center_input_sample: false,
    downsample_padding: 1,
    flip_sin_to_cos: true,
    freq_shift: 0,
    mid_block_scale_factor: 1,
    sample_size: sampleSize,
    ...stated,
    ...classOf('UNet2DConditionModel', stated),
    // Named after the size of a head, but diffusers takes it as their number and refuses
    // num_attention_heads (unet_2d_condition.py:243-254).
    attention_head_dim: uniform ? unet.heads[0] : [...unet.heads],
    num_attention_heads: undefined,
    block_out_channels: [...unet.blockOutChannels],
    cross_attention_dim: unet.crossAttentionDim,
    down_block_types: topology.down.map((depth) => (depth > 0 ? 'CrossAttnDownBlock2D' : 'DownBlock2D')),
    up_block_types: topology.up.map((depth) => (depth > 0 ? 'CrossAttnUpBlock2D' : 'UpBlock2D')),
    transformer_layers_per_block: transformerLayers(location, topology),
    in_channels: unet.inChannels,
    out_channels: unet.outChannels,
    layers_per_block: unet.layersPerBlock,
    norm_eps: unet.eps,
    norm_num_groups: unet.groups,
    use_linear_projection: unet.linearProjection,
  }
}

/** Left out where it is 1 everywhere, which older versions of diffusers take for granted. */
function transformerLayers(where: string, { down, mid, up }: UnetTopology): number[] | undefined {
  if ([...down, mid, ...up].every((depth) => depth <= 1)) return undefined
  // diffusers gives the last block's number to the block in the middle, and the numbers in reverse to the way up.
  const layers = down.map((depth, i) => (i === down.length - 1 ? mid : depth || 1))
  const sameUp = up.every((depth, i) => depth === down[down.length - 1 - i])
  if (sameUp && [0, mid].includes(down.at(-1) ?? 0)) return layers
  throw new LorikeetError('input', 'the depths of the transformers cannot be written as a configuration of diffusers', {
    where,
    expected: 'the same way up as down, and in the middle as in the last block',
    received: `down ${down.join(' ')}, middle ${mid}, up ${up.join(' ')}`,
  })
}

function vaeConfig({ config }: BaseModel, stated: Config, pixels: number): Config {
  const { vae } = config
  return {
    act_fn: 'silu',
    sample_size: pixels,
    ...stated,
    ...classOf('AutoencoderKL', stated),
    block_out_channels: [...vae.blockOutChannels],
    down_block_types: vae.blockOutChannels.map(() => 'DownEncoderBlock2D'),
    up_block_types: vae.blockOutChannels.map(() => 'UpDecoderBlock2D'),
    in_channels: vae.imageChannels,
    out_channels: vae.imageChannels,
    latent_channels: vae.latentChannels,
    layers_per_block: vae.layersPerBlock,
    norm_num_groups: vae.groups,
    scaling_factor: vae.scalingFactor,
  }
}

const torchDtypes: Partial<Record<Dtype, string>> = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' }

function textConfig({ config }: BaseModel, stated: Config, dtype: Dtype | undefined): Config {
  const { textEncoder } = config
  return {
    attention_dropout: 0,
    ...clipTokens,
    dropout: 0,
    initializer_factor: 1,
    initializer_range: 0.02,
    layer_norm_eps: 1e-5,
    projection_dim: textEncoder.width,
    ...stated,
    architectures: ['CLIPTextModel'],
    model_type: 'clip_text_model',
    hidden_act: textEncoder.activation,
    hidden_size: textEncoder.width,
    intermediate_size: textEncoder.feedForward,
    max_position_embeddings: textEncoder.positions,
    num_attention_heads: textEncoder.heads,
    num_hidden_layers: textEncoder.layers,
    vocab_size: textEncoder.vocabulary,
    torch_dtype: dtype && torchDtypes[dtype],
  }
}

/**
 * The model's own sampler, else SD 1.5's. PNDM cannot start from pure noise (it has no `rescale_betas_zero_snr`), so
 * such models get DDIM with the timesteps that end at the last one (Lin et al. 2023, arXiv:2305.08891, section 3.3).
 */
function schedulerConfig({ predictionType, zeroTerminalSnr }: BaseModel, stated: Config): Config {
  const name = typeof stated._class_name === 'string' ? stated._class_name : 'PNDMScheduler'
  const replaced = zeroTerminalSnr && name === 'PNDMScheduler'
  const className = replaced ? 'DDIMScheduler' : name
  const common = {
    beta_end: 0.012,
    beta_schedule: 'scaled_linear',
    beta_start: 0.00085,
    clip_sample: false,
    num_train_timesteps: 1000,
    set_alpha_to_one: false,
    skip_prk_steps: true,
    steps_offset: 1,
    trained_betas: null,
  }
  return {
    // A named class has its own defaults for what its file leaves out.
    ...(stated._class_name === undefined ? common : {}),
    ...stated,
    ...classOf(className, stated),
    prediction_type: predictionType,
    rescale_betas_zero_snr: zeroTerminalSnr || undefined,
    ...(replaced ? { skip_prk_steps: undefined, timestep_spacing: 'trailing' } : {}),
  }
}

function classOf(name: string, { _diffusers_version: version }: Config): Config {
  return { _class_name: name, _diffusers_version: version ?? diffusersVersion }
}

/** Where the file came from says something about the person's machine, not about the model. */
function keep(stated: Config = {}): Config {
  return { ...stated, _name_or_path: undefined }
}

/** As diffusers and transformers write them; entries without a value are left out. */
function sorted(config: Config): Config {
  const entries = Object.entries(config).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
}
