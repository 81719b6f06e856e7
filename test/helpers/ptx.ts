/** The PTX check of test programs of the emulator, as tests of one file: ava runs files side by side, tests of one in turn. */
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
export const ptx: {
  check(name: string, edit?: (text: string) => string): { launches: Launch[]; unused: string[] }
  compile(file: string): string
  findNvcc(): string | null
  functions: string
  interpreter: object
  programs(): string[]
  summary(launches: Launch[]): Row[]
} = require('../../scripts/cuda/ptx')

/** False where there is no nvcc; then the file has one test, which says so. */
export function haveNvcc(): boolean {
  if (ptx.findNvcc() !== null) return true
  test('nvcc is not here: nothing to check', (t) => {
    t.log('nvcc was not found (PATH, CUDA_PATH, /usr/local/cuda): no PTX was checked')
    t.pass()
  })
  return false
}

/** What the emulator's run of a program leaves, the PTX of its kernels leaves too. */
export function testPrograms(names: readonly string[]): void {
  for (const name of names) {
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
}

/** A fault in the PTX is as good as one in the interpreter or the emulator: the two no longer agree. */
export function testFaults(faults: readonly [what: string, program: string, edit: (text: string) => string][]): void {
  for (const [what, name, edit] of faults) {
    test.serial(`noticed: ${what}`, (t) => {
      t.timeout(600_000)
      const rows = ptx.summary(ptx.check(name, edit).launches).filter((row) => row.first !== undefined)
      t.true(rows.length > 0)
      t.log(rows[0]?.first)
    })
  }
}
