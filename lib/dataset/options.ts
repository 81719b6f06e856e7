/**
 * The dataset part of a recipe. Field names are those that users of kohya-ss/sd-scripts know from its dataset toml
 * (library/config_util.py); where a default differs, the description says so. Sizes are pixels, rates 0 to 1.
 */

import { z } from 'zod'

const rate = z.number().min(0).max(1)
const pixels = z.int().min(8).multipleOf(8)

/** A size in pixels. In recipes it is written `512` or `[width, height]`. */
export interface Size {
  width: number
  height: number
}

/** What each folder may set for itself; set beside `resolution`, it holds for all folders that do not. */
const subsetFields = {
  num_repeats: z.int().min(1).describe('how often an epoch shows each image; wins over the number in a folder name'),
  class_tokens: z.string().describe('caption of images without a caption file; wins over the words in a folder name'),
  trigger_word: z.string().trim().min(1).describe('put before every caption that does not contain it already'),
  caption_extension: z.string().min(1).describe('caption files to read; without it .txt, then .caption'),
  caption_separator: z.string().min(1).describe('what separates the tags of a caption'),
  caption_prefix: z.string().describe('text put before every caption'),
  caption_suffix: z.string().describe('text put behind every caption'),
  secondary_separator: z.string().min(1).describe('joins tags that stay together; turned into caption_separator last'),
  shuffle_caption: z.boolean().describe('new order of the tags each time an image is seen'),
  keep_tokens: z.int().min(0).describe('how many leading tags stay in place and are never dropped'),
  keep_tokens_separator: z.string().min(1).describe('tags before it stay in place; tags behind a second one too'),
  caption_dropout_rate: rate.describe('how often an image is trained with an empty caption'),
  caption_dropout_every_n_epochs: z.int().min(0).describe('every n-th epoch has empty captions; 0 is never'),
  caption_tag_dropout_rate: rate.describe('how often a tag is left out'),
  flip_aug: z.boolean().describe('mirror the image half of the time'),
}

export const subsetSchema = z.strictObject({
  image_dir: z.string().min(1).describe('a folder of images, or a folder of such folders (10_ohwx person/)'),
  ...z.object(subsetFields).partial().shape,
})

export const datasetSchema = z
  .strictObject({
    image_dir: z.string().min(1).optional().describe('the dataset; short for one entry in subsets'),
    subsets: z.array(subsetSchema).min(1).optional().describe('several folders, each with its own settings'),
    resolution: z
      .union([pixels, z.tuple([pixels, pixels])])
      .default(512)
      .describe('side, or [width, height]: its area is what every bucket aims at; multiples of 8'),
    batch_size: z.int().min(1).default(1).describe('images in one batch'),
    enable_bucket: z
      .boolean()
      .default(true)
      .describe('group images by aspect ratio; false crops all to one size (sd-scripts: false)'),
    bucket_no_upscale: z.boolean().default(false).describe('never enlarge an image; its bucket follows its own size'),
    bucket_reso_steps: pixels.default(64).describe('bucket sides are multiples of this'),
    min_bucket_reso: pixels.optional().describe('shortest bucket side; default half the resolution (256 at 512)'),
    max_bucket_reso: pixels.optional().describe('longest bucket side; default twice the resolution (1024 at 512)'),
    alpha_background: z
      .string()
      .regex(/^#[0-9a-fA-F]{6}$/, 'expected a colour such as #ffffff')
      .default('#ffffff')
      .describe('colour put behind transparent pixels'),
    cache_dir: z.string().min(1).optional().describe('where latents are cached; default image_dir/.lorikeet-cache'),
    ...subsetFields,
    num_repeats: subsetFields.num_repeats.optional(),
    class_tokens: subsetFields.class_tokens.optional(),
    trigger_word: subsetFields.trigger_word.optional(),
    caption_extension: subsetFields.caption_extension.optional(),
    caption_separator: subsetFields.caption_separator.default(','),
    caption_prefix: subsetFields.caption_prefix.optional(),
    caption_suffix: subsetFields.caption_suffix.optional(),
    secondary_separator: subsetFields.secondary_separator.optional(),
    shuffle_caption: subsetFields.shuffle_caption.default(false),
    keep_tokens: subsetFields.keep_tokens.default(0),
    keep_tokens_separator: subsetFields.keep_tokens_separator.optional(),
    caption_dropout_rate: subsetFields.caption_dropout_rate.default(0),
    caption_dropout_every_n_epochs: subsetFields.caption_dropout_every_n_epochs.default(0),
    caption_tag_dropout_rate: subsetFields.caption_tag_dropout_rate.default(0),
    flip_aug: subsetFields.flip_aug.default(false),
  })
  .superRefine((options, context) => {
    const refuse = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message })
    if ((options.image_dir === undefined) === (options.subsets === undefined)) {
      refuse('image_dir', 'expected either image_dir or subsets')
    }
    const { width, height } = resolutionOf(options)
    const { min, max } = bucketLimits(options)
    if (options.enable_bucket && !options.bucket_no_upscale) {
      if (min > max) refuse('min_bucket_reso', `expected at most max_bucket_reso (${max}), received ${min}`)
      if (max < Math.max(width, height)) {
        refuse('max_bucket_reso', `expected at least the resolution (${Math.max(width, height)}), received ${max}`)
      }
      if (options.bucket_reso_steps > Math.floor(Math.sqrt(width * height))) {
        refuse('bucket_reso_steps', `expected at most the resolution, received ${options.bucket_reso_steps}`)
      }
    }
  })

/** The dataset part of a recipe as people write it. */
export type DatasetInput = z.input<typeof datasetSchema>
/** The same with every default filled in. */
export type DatasetOptions = z.output<typeof datasetSchema>

type ResolutionFields = Pick<DatasetOptions, 'resolution'>
type LimitFields = Pick<DatasetOptions, 'resolution' | 'min_bucket_reso' | 'max_bucket_reso' | 'bucket_reso_steps'>

export function resolutionOf({ resolution }: ResolutionFields): Size {
  return typeof resolution === 'number'
    ? { width: resolution, height: resolution }
    : { width: resolution[0], height: resolution[1] }
}

/**
 * Shortest and longest bucket side. The defaults are half and twice the resolution (rounded to steps), which is
 * sd-scripts' fixed 256 and 1024 at 512 pixels and keeps the same choice of shapes at every other resolution.
 */
export function bucketLimits(options: LimitFields): { min: number; max: number } {
  const { width, height } = resolutionOf(options)
  const steps = options.bucket_reso_steps
  return {
    min: options.min_bucket_reso ?? Math.max(steps, Math.floor(Math.min(width, height) / 2 / steps) * steps),
    max: options.max_bucket_reso ?? Math.max(width, height) * 2,
  }
}

/** The settings of one folder: its own, else the dataset's. */
export type SubsetOptions = Omit<z.output<typeof subsetSchema>, keyof CaptionDefaults> & CaptionDefaults

type CaptionDefaults = Pick<
  DatasetOptions,
  | 'caption_separator'
  | 'shuffle_caption'
  | 'keep_tokens'
  | 'caption_dropout_rate'
  | 'caption_dropout_every_n_epochs'
  | 'caption_tag_dropout_rate'
  | 'flip_aug'
>

/** The folders of a dataset with their settings resolved: subset before dataset before default. */
export function subsetsOf(options: DatasetOptions): SubsetOptions[] {
  const shared = Object.fromEntries(
    Object.keys(subsetFields).map((name) => [name, options[name as keyof typeof subsetFields]]),
  )
  const subsets = options.subsets ?? [{ image_dir: options.image_dir as string }]
  return subsets.map((subset) => {
    const own = Object.fromEntries(Object.entries(subset).filter(([, value]) => value !== undefined))
    return { ...shared, ...own } as SubsetOptions
  })
}
