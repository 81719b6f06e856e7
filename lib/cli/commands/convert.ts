/** `lorikeet convert`: a base model between single file and diffusers folder, or a LoRA between two styles of keys. */
import type { Argv } from 'yargs'
import { LorikeetError } from '../../base/errors'
import { formatBytes } from '../../base/units'
import { convertBase, type ConvertOptions } from '../../tools/convert'
import { convertLora } from '../../tools/convert-lora'
import { jsonArgument } from '../arguments'
import { defineCommand } from '../command'
import { createRenderer, type Bar, type Renderer } from '../render'

const targets = ['diffusers', 'single-file', 'kohya', 'peft'] as const

const build = (parser: Argv) =>
  jsonArgument(
    parser
      .positional('model', {
        type: 'string',
        demandOption: true,
        describe: 'Diffusers folder, single-file checkpoint or LoRA',
      })
      .option('to', { choices: targets, demandOption: true, describe: 'Layout of a base model; keys of a LoRA' })
      .option('out', {
        type: 'string',
        demandOption: true,
        requiresArg: true,
        describe: 'Folder or .safetensors file to write',
      })
      .option('dtype', {
        choices: ['f32', 'f16', 'bf16'] as const,
        describe: 'Number format of the weights; kept unless set',
      })
      .option('overwrite', { type: 'boolean', default: false, describe: 'Replace what is there' }),
  )
type Arguments = ReturnType<typeof build> extends Argv<infer Options> ? Options : never

export const convertCommand = defineCommand<Arguments>({
  command: 'convert <model>',
  describe: 'Change the layout of a base model, or the keys of a LoRA',
  builder: build,
  handler({ model, to, out, dtype, overwrite, json }) {
    const renderer = createRenderer(json)
    if (to === 'diffusers' || to === 'single-file') {
      convertModel(renderer, model, { to, out, overwrite, ...(dtype && { dtype }) })
      return
    }
    if (dtype) {
      const fix = 'Leave it out: the values of a LoRA keep their bits'
      throw new LorikeetError('usage', 'is for base models', { where: '--dtype', fix })
    }
    const result = convertLora(model, { to, out, overwrite })
    for (const note of result.notes) renderer.say(note)
    renderer.print(`${out}: ${formatBytes(result.bytes)}, ${result.modules} modules`, { event: 'converted', ...result })
  },
})

function convertModel(renderer: Renderer, model: string, options: ConvertOptions): void {
  let bar: Bar | undefined
  try {
    const result = convertBase(model, {
      ...options,
      onProgress({ done, total }) {
        bar ??= renderer.bar('Converting MiB', Math.ceil(total / 2 ** 20))
        bar.update(Math.ceil(done / 2 ** 20))
      },
    })
    bar?.end()
    for (const note of result.notes) renderer.say(note)
    if (result.leftOut.length > 0) {
      const [first] = result.leftOut
      renderer.say(
        `Left out: ${result.leftOut.length} tensors that are no weights of the three networks, such as ${first}`,
      )
    }
    const text = `${result.out}: ${formatBytes(result.bytes)}, ${result.tensors} tensors (${result.dtypes.join(', ')})`
    renderer.print(text, { event: 'converted', ...result })
  } finally {
    bar?.end()
  }
}
