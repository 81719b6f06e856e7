/**
 * scripts/cuda/compile.js on a copy of the tree with one kernel file, where nvcc and cuobjdump are shell scripts that
 * repeat what the real ones said.
 */
import test, { type ExecutionContext } from 'ava'
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = join(__dirname, '../../..')
const dq = 'attention_dq<BackwardTile<48, 32, 32>>'
const source = 'cuda/attention/attention_backward.cu'

// The object holds the name of what was compiled, which is all that the disassembler needs.
const nvcc = `for arg; do case $before in --keep-dir) keep=$arg;; -o) object=$arg;; esac; before=$arg; done
cp RECORDED/attention_backward.ptx $keep/kernels.ptx && cat RECORDED/attention_backward.ptxas.txt >&2 && echo > $object`
const cuobjdump = 'cat RECORDED/attention_backward.sass.txt'

class Tree {
  readonly folder = mkdtempSync(join(tmpdir(), 'lorikeet-compile-'))

  constructor(t: ExecutionContext) {
    t.teardown(() => rmSync(this.folder, { recursive: true }))
    for (const name of ['cuda/attention', 'bin', 'recorded']) mkdirSync(join(this.folder, name), { recursive: true })
    cpSync(join(root, 'scripts'), join(this.folder, 'scripts'), { recursive: true })
    cpSync(join(root, 'test/fixtures/nvcc'), join(this.folder, 'recorded'), { recursive: true })
    writeFileSync(join(this.folder, source), '__global__ void kernel() {}\n')
    for (const [name, script] of Object.entries({ nvcc, cuobjdump })) {
      const file = join(this.folder, 'bin', name)
      writeFileSync(file, `#!/bin/sh\n${script.replaceAll('RECORDED', join(this.folder, 'recorded'))}\n`)
      chmodSync(file, 0o755)
    }
  }

  compile(args: string[] = [], env: Record<string, string> = {}) {
    const tools = { PATH: `${join(this.folder, 'bin')}:${process.env.PATH}`, LORIKEET_CUDA: 'all', ...env }
    const { status, stdout, stderr } = spawnSync(process.execPath, ['scripts/cuda/compile.js', ...args], {
      cwd: this.folder,
      encoding: 'utf8',
      env: { ...process.env, ...tools },
    })
    return { status, stdout, stderr }
  }

  edit(file: string, from: RegExp, to: string) {
    const text = readFileSync(join(this.folder, file), 'utf8')
    writeFileSync(join(this.folder, file), text.replace(from, to))
  }
}

test('what was written is compared without a difference, for all targets and for one', (t) => {
  const tree = new Tree(t)
  t.like(tree.compile(['--update']), { status: 0, stderr: '' })
  const table = readFileSync(join(tree.folder, 'cuda/registers.txt'), 'utf8')
  t.regex(table, /^nvcc 13\.0$/m)
  t.regex(table, /^229 229 .* 128 {6}0 .* attention_dq<BackwardTile<48, 32, 32>>$/m)
  const all = tree.compile()
  t.like(all, { status: 0, stderr: '' })
  t.regex(all.stdout, /2 kernels for sm_80, sm_86, sm_89, sm_90, sm_120: \d+ s, 0\.0 MB of objects\nas in cuda/)
  t.regex(all.stdout, /^ +229 \(2\) .*attention_backward\.cu attention_dq</m)
})

test('a kernel that takes other registers than before is a failure with its name', (t) => {
  const tree = new Tree(t)
  tree.compile(['--update'])
  tree.edit('recorded/attention_backward.ptxas.txt', /Used 229 registers/, 'Used 231 registers')
  const { status, stderr } = tree.compile([source])
  t.is(status, 1)
  t.true(stderr.startsWith(`${source} ${dq}: registers on sm_80: 229 in the table, now 231\n`), stderr)
  t.regex(stderr, /--update \[FILE\.cu \.\.\.\]\n$/)
  t.is(tree.compile(['--update', source]).status, 0)
  t.is(tree.compile().status, 0)
})

test('figures of another nvcc are no failure, but update only as a whole', (t) => {
  const tree = new Tree(t)
  writeFileSync(join(tree.folder, 'cuda/attention/other.cu'), '__global__ void other() {}\n')
  t.is(tree.compile(['--update']).status, 0)
  tree.edit('recorded/attention_backward.ptxas.txt', /Used 229 registers/, 'Used 231 registers')
  tree.edit('recorded/attention_backward.ptx', /release 13\.0/, 'release 12.8')
  const { status, stdout } = tree.compile()
  t.is(status, 0)
  t.regex(stdout, /cuda\/registers\.txt is of nvcc 13\.0, this is 12\.8/)
  t.like(tree.compile(['--update', source]), { status: 1 })
  t.is(tree.compile(['--update']).status, 0)
  t.regex(tree.compile().stdout, /as in cuda\/registers\.txt/)
})

test('spills fail, whatever the table says', (t) => {
  const tree = new Tree(t)
  tree.edit('recorded/attention_backward.ptxas.txt', /0 bytes spill stores, 0 bytes/, '4 bytes spill stores, 8 bytes')
  const { status, stderr } = tree.compile(['--update'])
  t.is(status, 1)
  t.is(stderr, `${source} ${dq}: spills 12 bytes on sm_80\n`)
})

test('machine code without the instructions of tensor cores, or with local memory, fails', (t) => {
  const tree = new Tree(t)
  tree.edit('recorded/attention_backward.sass.txt', /HMMA/g, 'FFMA')
  t.like(tree.compile(['--update']), { status: 1 })
  const { status, stderr } = tree.compile(['--targets', '86'])
  t.is(status, 1)
  t.is(stderr, `${source} ${dq}: has no HMMA on sm_86, the instruction of the tensor cores\n`)

  const other = new Tree(t)
  other.edit('recorded/attention_backward.sass.txt', /attention_dq_kernel/g, 'attention_dp_kernel')
  other.edit('recorded/attention_backward.ptxas.txt', /attention_dq_kernel/g, 'attention_dp_kernel')
  other.edit('recorded/attention_backward.ptx', /attention_dq_kernel/g, 'attention_dp_kernel')
  other.edit('recorded/attention_backward.sass.txt', /LDS\.128/g, 'LDL.128')
  const found = other.compile(['--targets', '80']).stderr
  for (const name of ['HMMA', 'LDSM', 'LDGSTS', 'LDL']) {
    t.regex(found, new RegExp(`attention_dp<.*: has ${name} on sm_80`))
  }
})

test('without the tools there is nothing to compare, and the table stays as it is', (t) => {
  const tree = new Tree(t)
  tree.compile(['--update'])
  const without = tree.compile([], { LORIKEET_CUDA: 'off' })
  t.like(without, { status: 0, stderr: '' })
  t.regex(without.stdout, /^nvcc was not found/)
  rmSync(join(tree.folder, 'bin/cuobjdump'))
  const path = `${join(tree.folder, 'bin')}:/usr/bin:/bin`
  const half = tree.compile([], { PATH: path })
  t.like(half, { status: 0, stderr: '' })
  t.regex(half.stdout, /^cuobjdump was not found .*\n[^]*as in cuda\/registers\.txt\n$/)
  t.regex(tree.compile(['--update'], { PATH: path }).stderr, /--update needs cuobjdump/)
  t.regex(tree.compile([], { CUOBJDUMP: '/nowhere' }).stderr, /CUOBJDUMP is \/nowhere, which does not exist/)
})

test('strange targets, files that do not compile and tables of a part are errors', (t) => {
  const tree = new Tree(t)
  t.regex(tree.compile(['--targets', '86,75']).stderr, /No target is called 75/)
  t.regex(tree.compile(['--update', '--targets', '86']).stderr, /--update needs all/)
  writeFileSync(join(tree.folder, 'bin/nvcc'), '#!/bin/sh\necho "x.cu(3): error: what is this" >&2\nexit 1\n')
  const { status, stderr } = tree.compile()
  t.is(status, 1)
  t.regex(stderr, /attention_backward\.cu does not compile:\nx\.cu\(3\): error/)
})
