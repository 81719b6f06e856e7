/** Safetensors files made by hand, sound or broken, without the code under test; and folders to put them in. */
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'

/** Length field, JSON (an object is serialised, a string or bytes taken as they are), data. */
export function safetensorsBytes(header: object | string | Uint8Array, data: Uint8Array = new Uint8Array()): Buffer {
  const json =
    header instanceof Uint8Array ? header : Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  return Buffer.concat([length, json, data])
}

let parent: string | undefined

/** A new folder that is removed when the test file's thread ends. */
export function temporaryFolder(): string {
  if (parent === undefined) {
    const created = fs.mkdtempSync(path.join(os.tmpdir(), 'lorikeet-test-'))
    process.on('exit', () => fs.rmSync(created, { recursive: true, force: true }))
    parent = created
  }
  return fs.mkdtempSync(path.join(parent, 'case-'))
}
