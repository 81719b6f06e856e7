/** One real file of kernels for one target, through scripts/cuda/compile.js: what it finds is what the table says. */
import test from 'ava'

type PerTarget = Record<string, number>
interface Row {
  file: string
  kernel: string
  threads: number
  registers: PerTarget
  spills: PerTarget
  instructions: Record<string, PerTarget> | null
}
const { compile, readTable }: {
  compile(tools: object, file: string, targets: string[]): Promise<{ rows: Row[]; bytes: number; compiler: string }>
  readTable(): { compiler: string; rows: Row[] }
} = require('../../../scripts/cuda/compile')
const { findNvcc, hasKernels }: {
  findNvcc(): string | null
  hasKernels(file: string): boolean
} = require('../../../scripts/cuda/nvcc')
const { root, cudaSources }: { root: string; cudaSources(): string[] } = require('../../../scripts/sources')
const { compare }: {
  compare(stored: Row[], rows: Row[], files: string[], targets: string[]): string[]
} = require('../../../scripts/cuda/table')
const { faults, findDisassembler }: {
  faults(rows: Row[], targets: string[]): string[]
  findDisassembler(nvcc: string): string | null
} = require('../../../scripts/cuda/instructions')

const file = 'cuda/attention/attention.cu'

test('the table has the kernels of each source that has any, its headers included', (t) => {
  const expected = cudaSources().filter((source) => hasKernels(`${root}/${source}`))
  t.deepEqual([...new Set(readTable().rows.map((row) => row.file))].sort(), expected.sort())
})

const nvcc = findNvcc()

if (!nvcc) {
  test('nvcc is not here: nothing to compile', (t) => {
    t.log('nvcc was not found (PATH, CUDA_PATH, /usr/local/cuda): no kernel was compiled')
    t.pass()
  })
} else {
  test(`${file} is compiled for sm_86 to what the table says`, async (t) => {
    const disassembler = findDisassembler(nvcc)
    const { rows, bytes, compiler } = await compile({ nvcc, disassembler }, file, ['86'])
    t.is(rows.length, 5)
    t.true(bytes > 50_000)
    for (const row of rows) {
      t.is(row.threads, 128, row.kernel)
      t.true(row.registers['86']! > 64 && row.registers['86']! < 256, row.kernel)
      t.is(row.spills['86'], 0, row.kernel)
    }
    if (disassembler) for (const row of rows) t.true(row.instructions!.HMMA!['86']! >= 64, row.kernel)
    else t.log('cuobjdump was not found: nothing was disassembled')
    t.deepEqual(faults(rows, ['86']), [])

    const stored = readTable()
    if (compiler !== stored.compiler) return t.log(`the table is of nvcc ${stored.compiler}, this is ${compiler}`)
    t.deepEqual(compare(stored.rows, rows, [file], ['86']), [])
    const changed = rows.map((row, i) => (i > 0 ? row : { ...row, registers: { '86': row.registers['86']! + 1 } }))
    t.is(compare(stored.rows, changed, [file], ['86']).length, 1)
  })
}
