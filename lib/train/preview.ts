/** Pictures drawn during training, with what is trained as it stands: `DIR/NAME/samples/step00000100-0.png`. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { writeFileAtomic } from '../base/atomic-file'
import { LorikeetError } from '../base/errors'
import { generate } from '../generate/generate'
import { encodePng } from '../generate/png'
import type { NetworkName } from '../models/scope'
import type { Pipeline } from '../pipeline/pipeline'
import type { Recipe, SamplePrompt } from '../recipe'
import { parsePrompt } from '../text/prompt'
import type { SampleRecord } from './logs'

type Samples = NonNullable<Recipe['samples']>

/** LoRAs in a prompt would be put on the base for good, also under the training. */
export function checkPrompts({ prompts }: Samples): void {
  for (const prompt of prompts)
    if (parsePrompt(textOf(prompt)).loras.length > 0)
      throw new LorikeetError('usage', 'samples show what is trained, without other LoRAs', {
        where: `samples.prompts, "${textOf(prompt)}"`,
      })
}

function textOf(prompt: SamplePrompt): string {
  return typeof prompt === 'string' ? prompt : prompt.prompt
}

/**
 * @param keep networks that stay loaded afterwards
 * @param onPicture told before each picture
 */
export async function drawSamples(
  pipe: Pipeline,
  samples: Samples,
  {
    folder,
    step,
    clipSkip,
    keep,
    onPicture,
  }: { folder: string; step: number; clipSkip: number; keep: readonly NetworkName[]; onPicture?: (n: number) => void },
): Promise<SampleRecord[]> {
  const target = join(folder, 'samples')
  mkdirSync(target, { recursive: true })
  const records: SampleRecord[] = []
  for (const [i, entry] of samples.prompts.entries()) {
    onPicture?.(i)
    const { prompt, negative, sampler, steps, cfg, seed, width, height } = {
      ...samples,
      ...(typeof entry === 'string' ? { prompt: entry } : entry),
    }
    const result = await generate(pipe, {
      prompt,
      negativePrompt: negative,
      sampler,
      steps,
      cfg,
      seed,
      width,
      height,
      clipSkip,
    })
    const png = await encodePng(result.images[0]!, result.settings[0])
    const file = join(target, `step${String(step).padStart(8, '0')}-${i}.png`)
    writeFileAtomic(file, png)
    const { width: w, height: h } = result.settings[0]!
    records.push({ step, tag: `samples/${i}`, file, png, width: w, height: h })
  }
  for (const network of ['vae', 'text_encoder'] as const) if (!keep.includes(network)) pipe.runtime.unload(network)
  return records
}
