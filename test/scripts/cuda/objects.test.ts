/** scripts/cuda/objects.js on a copy of the tree with one file, where nvcc is a shell script. */
import test from 'ava'
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = join(__dirname, '../../..')

// Like the real one it writes what it was asked for, and a list of what it read.
const nvcc = `for arg; do case $before in -o) object=$arg;; -MF) listing=$arg;; -c) source=$arg;; esac; before=$arg; done
echo compiled > $object && echo "object: $source" > $listing`

test('what was compiled for other targets is gone once CMake asks for the list', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'lorikeet-objects-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  for (const name of ['cuda', 'bin']) mkdirSync(join(folder, name))
  cpSync(join(root, 'scripts'), join(folder, 'scripts'), { recursive: true })
  writeFileSync(join(folder, 'cuda/one.cu'), '__global__ void kernel() {}\n')
  writeFileSync(join(folder, 'bin/nvcc'), `#!/bin/sh\n${nvcc}\n`)
  chmodSync(join(folder, 'bin/nvcc'), 0o755)
  const run = (targets: string, ...args: string[]) => {
    const env = { ...process.env, PATH: `${join(folder, 'bin')}:${process.env.PATH}`, LORIKEET_CUDA: targets }
    const { status, stdout } = spawnSync(process.execPath, ['scripts/cuda/objects.js', ...args], { cwd: folder, env, encoding: 'utf8' })
    t.is(status, 0)
    return stdout
  }
  const object = join(folder, 'build/cuda/one.cu.o')
  t.regex(run('86'), /^nvcc cuda\/one\.cu/)
  t.is(run('86', 'list').trim(), object)
  t.is(run('86'), '') // up to date
  t.true(existsSync(object))
  run('86,89', 'list')
  t.false(existsSync(object))
  t.regex(run('86,89'), /^nvcc cuda\/one\.cu/)
})
