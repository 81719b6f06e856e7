/** The PTX that nvcc makes of the kernels, executed on what the emulator's tests launch: the same bits everywhere. */
import { execFileSync } from 'node:child_process'
import test from 'ava'

interface Launch {
  kernel: string
  entry?: string
  written?: number
  different?: number
  first?: string
  error?: string
}
interface Row {
  kernel: string
  launches: number
  written: number
  different: number
  first?: string
}
const ptx: {
  check(name: string, edit?: (text: string) => string): { launches: Launch[]; unused: string[] }
  compile(file: string): string
  findNvcc(): string | null
  functions: string
  interpreter: object
  programs(): string[]
  summary(launches: Launch[]): Row[]
} = require('../../../scripts/cuda/ptx')
const { buildProgram }: { buildProgram(name: string, variant: object): string } = require('../../../scripts/cuda/sim')

if (ptx.findNvcc() === null) {
  test('nvcc is not here: nothing to check', (t) => {
    t.log('nvcc was not found (PATH, CUDA_PATH, /usr/local/cuda): no PTX was checked')
    t.pass()
  })
} else {
  for (const name of ptx.programs()) {
    test.serial(`${name}: the PTX leaves what the emulator leaves`, (t) => {
      t.timeout(600_000)
      const { launches, unused } = ptx.check(name)
      const rows = ptx.summary(launches)
      t.true(rows.length > 0)
      for (const row of rows) {
        t.is(row.first, undefined, row.kernel)
        t.true(row.written > 0, `${row.kernel} writes nothing`)
      }
      const instances = `${rows.length} of ${rows.length + unused.length} instances of kernels`
      t.log(`${instances}, ${launches.length} launches, the same bits`)
    })
  }

  // A fault in the PTX is as good as one in the interpreter or the emulator: the two no longer agree.
  const faults: [string, string, (text: string) => string][] = [
    ['two registers of ldmatrix exchanged', 'gemm/matmul', (text) =>
      text.replace(/(ldmatrix\S+ \{)(%r\d+), ?(%r\d+)/g, '$1$3, $2')],
    ['ldmatrix without its transposition', 'gemm/weight_grad', (text) => text.replaceAll('x4.trans.', 'x4.')],
    ['the registers of B in mma exchanged', 'attention/attention', (text) =>
      text.replace(/(mma\.sync.*\}, \{.*\}, \{)(%r\d+), ?(%r\d+)\}/g, '$1$3, $2}')],
    ['the halves of a packed pair exchanged', 'attention/attention', (text) =>
      text.replace(/(cvt\.rn\.bf16x2\.f32 %r\d+), ?(%f\d+), ?(%f\d+)/g, '$1, $3, $2')],
    ['copies that nobody waits for', 'gemm/weight_grad', (text) => text.replace(/cp\.async\.wait_group \d+;/g, '')],
    ['no barrier of the block', 'kernels/group_norm', (text) => text.replace(/bar\.sync\s+0;/g, '')],
    ['a shuffle in the other direction', 'kernels/layer_norm', (text) =>
      text.replaceAll('shfl.sync.bfly', 'shfl.sync.up')],
    ['a square root left out', 'kernels/adamw', (text) => text.replaceAll('sqrt.rn.f32', 'abs.f32')],
  ]
  for (const [what, name, edit] of faults) {
    test.serial(`noticed: ${what}`, (t) => {
      t.timeout(600_000)
      const rows = ptx.summary(ptx.check(name, edit).launches).filter((row) => row.first !== undefined)
      t.true(rows.length > 0)
      t.log(rows[0]?.first)
    })
  }

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
