/** `lorikeet inspect`: what a safetensors file or a PNG picture with settings holds. */
import type { Argv } from 'yargs'
import { readPngSettings } from '../../generate/png'
import { inspectFile } from '../../tools/inspect'
import { renderInspection } from '../../tools/render-inspection'
import { defineCommand } from '../command'
import { createRenderer } from '../render'

const build = (parser: Argv) =>
  parser
    .positional('file', { type: 'string', demandOption: true, describe: 'LoRA or checkpoint (.safetensors), or a picture (.png)' })
    .option('all', { type: 'boolean', default: false, describe: 'All tensors and all metadata in full' })
    .option('json', { type: 'boolean', default: false, describe: 'Print one JSON object' })
type Arguments = ReturnType<typeof build> extends Argv<infer Options> ? Options : never

export const inspectCommand = defineCommand<Arguments>({
  command: 'inspect <file>',
  describe: 'Show what a LoRA, a checkpoint or a generated picture holds',
  builder: build,
  handler({ file, all, json }) {
    const renderer = createRenderer(json)
    if (/\.png$/i.test(file)) {
      const settings = readPngSettings(file)
      renderer.print(settings?.text ?? 'This picture carries no settings.', { event: 'picture', file, settings: settings ?? null })
      return
    }
    const inspection = inspectFile(file)
    renderer.print(renderInspection(inspection, { all }), { event: 'inspection', ...inspection })
  },
})
