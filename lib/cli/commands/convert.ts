/** `lorikeet convert`: a base model between single file and diffusers folder. */
import type { Argv } from 'yargs'
import { formatBytes } from '../../base/units'
import { convertBase, type ConvertProgress } from '../../tools/convert'
import { jsonArgument } from '../arguments'
import { defineCommand } from '../command'
import { createRenderer, type Bar } from '../render'

const build = (parser: Argv) =>
  jsonArgument(
    parser
      .positional('model', { type: 'string', demandOption: true, describe: 'Diffusers folder or single-file checkpoint' })
      .option('to', { choices: ['diffusers', 'single-file'] as const, demandOption: true, describe: 'The layout to write' })
      .option('out', { type: 'string', demandOption: true, requiresArg: true, describe: 'Folder or .safetensors file to write' })
      .option('dtype', { choices: ['f32', 'f16', 'bf16'] as const, describe: 'What weights are stored as; as they are unless set' })
      .option('overwrite', { type: 'boolean', default: false, describe: 'Replace what is there' }),
  )
type Arguments = ReturnType<typeof build> extends Argv<infer Options> ? Options : never

export const convertCommand = defineCommand<Arguments>({
  command: 'convert <model>',
  describe: 'Change a base model between single file and diffusers folder',
  builder: build,
  handler({ model, to, out, dtype, overwrite, json }) {
    const renderer = createRenderer(json)
    let bar: Bar | undefined
    const onProgress = ({ done, total }: ConvertProgress) => {
      bar ??= renderer.bar('Converting', total)
      bar.update(done, formatBytes(done))
    }
    try {
      const result = convertBase(model, { to, out, overwrite, onProgress, ...(dtype && { dtype }) })
      bar?.end()
      for (const note of result.notes) renderer.say(note)
      if (result.leftOut.length > 0) {
        renderer.say(`Left out: ${result.leftOut.length} tensors that are no weights of the three networks, such as ${result.leftOut[0]}`)
      }
      const text = `${out}: ${formatBytes(result.bytes)}, ${result.tensors} tensors (${result.dtypes.join(', ')})`
      renderer.print(text, { event: 'converted', ...result })
    } finally {
      bar?.end()
    }
  },
})
