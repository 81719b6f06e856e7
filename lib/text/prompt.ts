/**
 * LoRAs named in a prompt, in the syntax of AUTOMATIC1111 (extensions-builtin/Lora):
 *
 *     <lora:name>             strength 1
 *     <lora:name:0.8>         strength 0.8 for text encoder and denoiser
 *     <lora:name:0.5:0.8>     0.5 for the text encoder, 0.8 for the denoiser (that order)
 *     <lora:name:te=0.5:unet=0.8>
 *
 * The tags are taken out of the text. Where AUTOMATIC1111 leaves a mistake in the prompt or logs it and goes on, it is
 * an error here, with its position.
 */
import { LorikeetError } from '../base/errors'

export interface LoraReference {
  name: string
  /** Strength in the denoiser (UNet). */
  strength: number
  /** Strength in the text encoders. */
  clipStrength: number
}

export interface Prompt {
  /** The prompt without its tags; weights in brackets are still in it (see emphasis.ts). */
  text: string
  loras: LoraReference[]
}

export function parsePrompt(prompt: string): Prompt {
  const loras: LoraReference[] = []
  let text = ''
  let position = 0
  for (const match of prompt.matchAll(/<(?:lora|lyco):/gi)) {
    const begin = match.index
    const end = prompt.indexOf('>', begin)
    if (end < 0 || prompt.slice(begin + 1, end).includes('<')) {
      throw malformed(prompt, begin, 'a LoRA tag is not closed')
    }
    text += prompt.slice(position, begin)
    loras.push(parseTag(prompt, begin, begin + match[0].length, end))
    position = end + 1
  }
  return { text: text + prompt.slice(position), loras }
}

/** The arguments between `first` and `end`, which are separated by colons. */
function parseTag(prompt: string, begin: number, first: number, end: number): LoraReference {
  const [name, ...parts] = prompt.slice(first, end).split(':').map((part) => part.trim())
  if (!name) throw malformed(prompt, begin, 'a LoRA tag names no file')

  const positional: number[] = []
  const named: { te?: number, unet?: number } = {}
  let at = first + prompt.slice(first, end).indexOf(':') + 1
  for (const part of parts) {
    const [key, value] = part.includes('=') ? part.split('=', 2) as [string, string] : [undefined, part]
    const number = parseStrength(value)
    if (number === undefined) throw malformed(prompt, at, `"${part}" is not a strength`)
    if (key === undefined) positional.push(number)
    else if (key === 'te' || key === 'unet') named[key] = number
    else throw malformed(prompt, at, `"${key}" is not a part of a LoRA tag`)
    at = prompt.indexOf(':', at) + 1
  }
  if (positional.length > 2) throw malformed(prompt, begin, 'a LoRA tag has more than two strengths')

  const clipStrength = named.te ?? positional[0] ?? 1
  return { name, clipStrength, strength: named.unet ?? positional[1] ?? clipStrength }
}

function parseStrength(text: string): number | undefined {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : undefined
}

function malformed(prompt: string, position: number, problem: string): LorikeetError {
  return new LorikeetError('usage', problem, {
    where: `prompt, character ${position + 1}`,
    received: JSON.stringify(prompt.slice(position, position + 40)),
    expected: '<lora:name>, <lora:name:strength> or <lora:name:text-encoder-strength:unet-strength>',
  })
}
