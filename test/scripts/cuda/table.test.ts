/** cuda/registers.txt and what a multiprocessor has room for. */
import test from 'ava'

type PerTarget = Record<string, number>
interface Row {
  file: string
  kernel: string
  threads: number
  shared: number
  registers: PerTarget
  instructions: Record<string, PerTarget> | null
}
const table: {
  format(rows: Row[], compiler: string): string
  parse(text: string): { compiler: string; rows: Row[] }
  compare(stored: Row[], rows: Row[], files: string[], targets: string[]): string[]
  merge(stored: Row[], rows: Row[], files: string[], present: string[]): Row[]
  blocksPerMultiprocessor(target: string, row: Row): number
} = require('../../../scripts/cuda/table')

const targets = ['80', '86', '89', '90', '120']
const same = (value: number): PerTarget => Object.fromEntries(targets.map((target) => [target, value]))

function row(file: string, kernel: string, changes: Partial<Row> = {}): Row {
  const instructions = { HMMA: same(64), LDSM: same(16), LDGSTS: same(36), LDL: same(0), STL: same(0) }
  return { file, kernel, threads: 128, shared: 0, registers: same(166), instructions, ...changes }
}

const a = row('cuda/gemm/matmul.cu', 'matmul<Matrices<TileShape<bf16, 128, 128, 32>, 1>>')
const b = row('cuda/gemm/matmul.cu', 'add', { shared: 4096, registers: { ...same(40), 120: 255 } })
const local = { ...a.instructions!, LDL: { ...same(0), 90: 3 } }
const c = row('cuda/kernels/cast.cu', 'cast<float>', { instructions: local })

test('a table that was written is read back, sorted by file and kernel', (t) => {
  const text = table.format([c, a, b], '13.0')
  t.deepEqual(table.parse(text), { compiler: '13.0', rows: [b, a, c] })
  t.is(table.format(table.parse(text).rows, '13.0'), text)
  t.regex(text, /^ 40 {2}40 {2}40 {2}40 255 {5}128 {3}4096 {5}64 {5}16 {5}36 {6}0 {6}0 add$/m)
  t.regex(text, /0\/0\/0\/3\/0/)
  t.deepEqual(table.parse(''), { compiler: '', rows: [] })
})

test('any difference is named, and only in the files and targets asked for', (t) => {
  const files = ['cuda/gemm/matmul.cu', 'cuda/kernels/cast.cu']
  const compare = (rows: Row[], wanted = targets) => table.compare([a, b, c], rows, files, wanted)
  t.deepEqual(compare([c, b, a]), [])
  const grown = { ...a, registers: { ...a.registers, 86: 168, 90: 164 } }
  const name = `${a.file} ${a.kernel}`
  t.deepEqual(compare([grown, b, c]), [
    `${name}: registers on sm_86: 166 in the table, now 168`,
    `${name}: registers on sm_90: 166 in the table, now 164`,
  ])
  t.deepEqual(compare([grown, b, c], ['80', '89', '120']), [])
  t.deepEqual(compare([{ ...a, threads: 256, shared: 16 }, b, c]), [
    `${name}: threads: 128 in the table, now 256`,
    `${name}: static shared memory: 0 in the table, now 16`,
  ])
  const fewer = { ...a, instructions: { ...a.instructions!, HMMA: { ...same(64), 120: 32 } } }
  t.deepEqual(compare([fewer, b, c]), [`${name}: HMMA on sm_120: 64 in the table, now 32`])
  t.deepEqual(compare([{ ...a, instructions: null }, b, c]), [])
  t.deepEqual(compare([a, c, row('cuda/kernels/cast.cu', 'cast<bf16>')]), [
    'cuda/gemm/matmul.cu add: is no longer compiled',
    'cuda/kernels/cast.cu cast<bf16>: is new',
  ])
  t.deepEqual(table.compare([a, b, c], [c], ['cuda/kernels/cast.cu'], targets), [])
})

test('an update replaces the files compiled and forgets those that are gone', (t) => {
  const present = ['cuda/gemm/matmul.cu', 'cuda/kernels/mix.cu']
  const fresh = row('cuda/kernels/mix.cu', 'mix')
  t.deepEqual(table.merge([a, b, c], [fresh], ['cuda/kernels/mix.cu'], present), [a, b, fresh])
  t.deepEqual(table.merge([a, b, c], [a], ['cuda/gemm/matmul.cu'], [...present, 'cuda/kernels/cast.cu']), [c, a])
})

test('blocks of a multiprocessor: by registers, threads, shared memory, and their own number', (t) => {
  const blocks = (target: string, threads: number, registers: number, shared = 0) =>
    table.blocksPerMultiprocessor(target, row('', '', { threads, shared, registers: same(registers) }))
  t.is(blocks('86', 128, 128), 4) // 65536 / (128 * 128)
  t.is(blocks('86', 128, 129), 3) // 136 a thread: 3 warps for each scheduler
  t.is(blocks('80', 256, 255), 1)
  t.is(blocks('86', 160, 200), 1) // 10 warps would fit in all registers, 2 in a scheduler's, which makes 8
  t.is(blocks('86', 256, 32), 6) // 1536 threads
  t.is(blocks('90', 256, 32), 8) // 2048
  t.is(blocks('86', 32, 16), 16)
  t.is(blocks('80', 32, 16), 32)
  t.is(blocks('89', 128, 32, 24 << 10), 4) // 100 KiB, 25 each
  t.is(blocks('89', 128, 32, 25 << 10), 3) // 26 each
  t.is(blocks('90', 128, 32, 48 << 10), 4) // 228 KiB, 49 each
})
