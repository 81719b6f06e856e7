/** What is read of the toolkit's tools, on what they said about two kernels of attention_backward.cu (nvcc 13.0). */
import test from 'ava'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

type Counts = Record<string, number>
const figures: {
  readCompiler(ptx: string): string
  readResources(text: string): { name: string; target: string; registers: number; shared: number; spills: number }[]
  readThreads(ptx: string): Map<string, number>
  readableNames(names: string[]): string[]
  InstructionCounter: new () => { kernels: Map<string, Map<string, Counts>>; add(line: string): void }
} = require('../../../scripts/cuda/figures')

const recorded = (name: string) => readFileSync(join(__dirname, '../../fixtures/nvcc', name), 'utf8')
const targets = ['80', '86', '89', '90', '120']
const dq = 'attention_dq<BackwardTile<48, 32, 32>>'

function count(text: string): Map<string, Map<string, Counts>> {
  const counter = new figures.InstructionCounter()
  for (const line of text.split('\n')) counter.add(line)
  return counter.kernels
}

test('registers of each kernel and target are read from ptxas', (t) => {
  const entries = figures.readResources(recorded('attention_backward.ptxas.txt'))
  const of = (part: string) => entries.filter(({ name }) => name.includes(part))
  t.is(entries.length, 10)
  t.deepEqual(new Set(of('attention_dq').map(({ target }) => target)), new Set(targets))
  t.deepEqual(of('attention_dq').find(({ target }) => target === '86'), {
    name: of('attention_dq')[0]!.name,
    target: '86',
    registers: 229,
    shared: 0,
    spills: 0,
  })
  for (const { registers } of of('attention_delta')) t.true(registers >= 32 && registers <= 48)
})

test('spills are stores and loads, shared memory is what the kernel declares', (t) => {
  const text = `ptxas info    : Compiling entry function 'f' for 'sm_120'
ptxas info    : Function properties for f
    24 bytes stack frame, 20 bytes spill stores, 36 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 24 bytes cumulative stack size, 1056 bytes smem, 400 bytes cmem[0]
`
  t.deepEqual(figures.readResources(text), [{ name: 'f', target: '120', registers: 255, shared: 1056, spills: 56 }])
})

test('threads of a block are those of the launch bounds', (t) => {
  t.deepEqual([...figures.readThreads(recorded('attention_backward.ptx')).values()], [128, 128])
  const bounds = '.maxntid 32, 4, 1\n.minnctapersm 2'
  const ptx = `.visible .entry a(\n\t.param .u64 a_param_0\n)\n{\n}\n.visible .entry b()\n${bounds}\n{\n}\n`
  t.deepEqual([...figures.readThreads(ptx)], [['a', 1024], ['b', 128]])
})

test('the compiler is named by its PTX', (t) => {
  t.is(figures.readCompiler(recorded('attention_backward.ptx')), '13.0')
})

test('instructions are counted for each kernel and target, whatever predicate they have', (t) => {
  const kernels = count(recorded('attention_backward.sass.txt'))
  const [tensor, plain] = ['attention_dq', 'attention_delta'].map(
    (part) => [...kernels].find(([name]) => name.includes(part))![1],
  )
  t.deepEqual(new Set(tensor!.keys()), new Set(targets))
  for (const target of targets) {
    t.true(tensor!.get(target)!.HMMA! >= 2 && tensor!.get(target)!.LDSM! >= 2, target)
    t.deepEqual(plain!.get(target), { HMMA: 0, LDSM: 0, LDGSTS: 0, LDL: 0, STL: 0 })
  }
  const text = `arch = sm_90
\t\tFunction : f
        /*0000*/                   LDL.64 R2, [R1+0x8] ;                    /* 0x00000a00ff017624 */
                                                                            /* 0x000fe400078e00ff */
        /*0010*/              @!P0 LDGSTS.E [R3], [R4.64] ;                 /* 0x00000a00ff017624 */
        /*0020*/             @!UP1 STL [R1], R2 ;                           /* 0x00000a00ff017624 */
        /*10030*/              @P3 LDGDEPBAR ;                              /* 0x00000a00ff017624 */
`
  t.deepEqual(count(text).get('f')?.get('90'), { HMMA: 0, LDSM: 0, LDGSTS: 1, LDL: 1, STL: 1 })
})

test('names are read without what all kernels share', (t) => {
  const names = figures.readResources(recorded('attention_backward.ptxas.txt')).map(({ name }) => name)
  t.deepEqual(new Set(figures.readableNames(names)), new Set([dq, 'attention_delta']))
  t.deepEqual(figures.readableNames([]), [])
})
