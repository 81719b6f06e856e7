import * as fs from 'node:fs'
import * as path from 'node:path'
import test from 'ava'
import { writeAll, writeFileAtomic } from '../../lib/base/atomic-file'
import { LorikeetError } from '../../lib/base/errors'
import { temporaryFolder } from '../helpers/safetensors-bytes'

test('a file gets the new content and nothing else stays in the folder', t => {
  const folder = temporaryFolder()
  const file = path.join(folder, 'a.bin')
  writeFileAtomic(file, 'first')
  writeFileAtomic(file, Uint8Array.of(1, 2, 3))
  t.deepEqual([...fs.readFileSync(file)], [1, 2, 3])
  writeFileAtomic(file, fd => {
    writeAll(fd, Buffer.from('in two '))
    writeAll(fd, Buffer.from('parts'))
  })
  t.is(fs.readFileSync(file, 'utf8'), 'in two parts')
  t.deepEqual(fs.readdirSync(folder), ['a.bin'])
})

test('a writer that fails half-way leaves the old file and no temporary file', t => {
  const folder = temporaryFolder()
  const file = path.join(folder, 'a.bin')
  writeFileAtomic(file, 'old')
  const failing = (fd: number) => {
    writeAll(fd, Buffer.from('half'))
    throw new Error('stop')
  }
  t.throws(() => writeFileAtomic(file, failing), { message: 'stop' })
  t.throws(() => writeFileAtomic(file, 'new', { verify: () => { throw new Error('differs') } }), { message: 'differs' })
  t.is(fs.readFileSync(file, 'utf8'), 'old')
  t.deepEqual(fs.readdirSync(folder), ['a.bin'])
})

test('a full disk is explained, and the old file is kept', t => {
  const folder = temporaryFolder()
  const file = path.join(folder, 'a.bin')
  writeFileAtomic(file, 'old')
  const error = t.throws(
    () =>
      writeFileAtomic(file, fd => {
        writeAll(fd, Buffer.from('half'))
        const full = fs.openSync('/dev/full', 'w') // every write to it fails with ENOSPC
        try {
          writeAll(full, Buffer.from('more'))
        } finally {
          fs.closeSync(full)
        }
      }),
    { instanceOf: LorikeetError },
  )
  t.is(error.kind, 'failed')
  t.is(error.details.where, file)
  t.regex(error.message, /disk is full; the file that was there before is unchanged.*Free some space/)
  t.is(fs.readFileSync(file, 'utf8'), 'old')
  t.deepEqual(fs.readdirSync(folder), ['a.bin'])
})

test('a missing folder and a folder in place of a file are explained', t => {
  const folder = temporaryFolder()
  const missing = t.throws(() => writeFileAtomic(path.join(folder, 'no', 'a'), 'x'), { instanceOf: LorikeetError })
  t.regex(missing.message, /folder does not exist/)
  fs.mkdirSync(path.join(folder, 'sub'))
  const taken = t.throws(() => writeFileAtomic(path.join(folder, 'sub'), 'x'), { instanceOf: LorikeetError })
  t.regex(taken.message, /this is a folder/)
  t.deepEqual(fs.readdirSync(folder), ['sub'])
})

test('a link stays a link and its target is replaced, with its permissions', t => {
  const folder = temporaryFolder()
  const target = path.join(folder, 'target')
  const link = path.join(folder, 'link')
  fs.writeFileSync(target, 'old', { mode: 0o600 })
  fs.symlinkSync('target', link)
  writeFileAtomic(link, 'new')
  t.true(fs.lstatSync(link).isSymbolicLink())
  t.is(fs.readFileSync(target, 'utf8'), 'new')
  t.is(fs.statSync(target).mode & 0o777, 0o600)
})
