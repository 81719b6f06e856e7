/** The PTX that nvcc makes of all other kernels, executed on what the emulator's tests launch; and CUDA's own functions. */
import { execFileSync } from 'node:child_process'
import test from 'ava'
import { haveNvcc, ptx, testFaults, testPrograms } from '../../helpers/ptx'

const { buildProgram }: { buildProgram(name: string, variant: object): string } = require('../../../scripts/cuda/sim')

if (haveNvcc()) {
  testPrograms(ptx.programs().filter((name) => !/^(gemm|attention)\//.test(name)))

  testFaults([
    ['no barrier of the block', 'kernels/group_norm', (text) => text.replace(/bar\.sync\s+0;/g, '')],
    ['a shuffle in the other direction', 'kernels/layer_norm', (text) =>
      text.replaceAll('shfl.sync.bfly', 'shfl.sync.up')],
    ['a square root left out', 'kernels/adamw', (text) => text.replaceAll('sqrt.rn.f32', 'abs.f32')],
  ])

  test.serial('an opcode that is not known is named', (t) => {
    const { launches } = ptx.check('kernels/adamw', (text) => text.replaceAll('mul.rn.f32', 'mul.f32'))
    t.true(launches.length > 0)
    for (const { error } of launches) t.regex(error ?? '', /opcode mul\.f32 is not known \(line \d+ of .*adamw_kernel/)
  })

  // Long sequences of instructions, with branches and local memory, whose result is known.
  test.serial("CUDA's own functions are as exact as its manual says", (t) => {
    const words = Float32Array.from({ length: 512 }, (_, i) => (i % 2 ? 1 : -1) * 1.2 ** ((i - 200) / 4))
    const program = buildProgram('ptx/snippets/run', ptx.interpreter)
    const bits = [...new Uint32Array(words.buffer)].map(String)
    const output = execFileSync(program, [ptx.compile(ptx.functions), '512', ...bits], { encoding: 'utf8' })
    const exact: Record<string, (x: number) => number> = {
      expf_of: Math.exp,
      expm1f_of: Math.expm1,
      logf_of: Math.log,
      sinf_of: Math.sin,
      cosf_of: Math.cos,
      tanhf_of: Math.tanh,
    }
    for (const line of output.trim().split('\n')) {
      const { entry, error, results } = JSON.parse(line) as { entry: string; error: string; results: number[] }
      t.is(error, '', entry)
      const values = new Float32Array(Uint32Array.from(results).buffer)
      const units = [...values].map((value, i) => {
        const expected = exact[entry]?.(words[i]!) ?? value
        if (Object.is(Math.fround(expected), value) || Math.abs(expected) < 2 ** -126) return 0
        return Math.abs(value - expected) / 2 ** (Math.floor(Math.log2(Math.abs(expected))) - 23)
      })
      t.true(Math.max(...units) <= 2, `${entry}: ${Math.max(...units)} units in the last place`)
    }
  })
}
