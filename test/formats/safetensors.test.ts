import * as fs from 'node:fs'
import * as path from 'node:path'
import test from 'ava'
import { LorikeetError } from '../../lib/base/errors'
import {
  openSafetensors,
  parseSafetensors,
  readTensor,
  readTensorRaw,
  type TensorData,
  writeSafetensors,
} from '../../lib/formats/safetensors'
import { safetensorsBytes, temporaryFolder } from '../helpers/safetensors-bytes'

const fixture = 'test/fixtures/sd15-tiny/lora_inference/lora_a.safetensors'
const f32 = (shape: number[], begin: number, end: number) => ({ dtype: 'F32', shape, data_offsets: [begin, end] })
const oneF32 = JSON.stringify(f32([1], 0, 4))
const data = (bytes: number) => new Uint8Array(bytes)

function refused(t: import('ava').ExecutionContext, content: Uint8Array, message: RegExp): void {
  const error = t.throws(() => parseSafetensors('bad.safetensors', content), { instanceOf: LorikeetError })
  t.is(error.kind, 'input')
  t.is(error.details.where, 'bad.safetensors')
  t.regex(error.message, message)
}

const corruptions: [what: string, content: Uint8Array, message: RegExp][] = [
  ['an empty file', data(0), /at least 8 bytes, received 0/],
  ['a file shorter than its length field', data(5), /at least 8 bytes, received 5/],
  ['a header longer than the file', safetensorsBytes({}).subarray(0, 9), /longer than the file/],
  ['an absurd header length', Buffer.alloc(64, 0xff), /header length is impossible/],
  [
    'a header above the cap',
    Buffer.concat([Buffer.from('01e1f50500000000', 'hex'), data(9)]),
    /at most 100000000 bytes/,
  ],
  ['an empty header', safetensorsBytes(''), /not a JSON object/],
  ['a header that is a list', safetensorsBytes('[]'), /not a JSON object/],
  ['a header that starts with a space', safetensorsBytes(' {}'), /not a JSON object.*received 0x20/],
  ['JSON that breaks off', safetensorsBytes('{"a":{"dtype":"F32",'), /not valid JSON/],
  ['bytes that are no UTF-8', safetensorsBytes(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)), /not valid JSON/],
  ['a tensor that is no object', safetensorsBytes({ a: 3 }), /tensor "a" is wrong/],
  ['a missing dtype', safetensorsBytes({ a: { shape: [], data_offsets: [0, 0] } }), /tensor "a" has no dtype/],
  ['an unknown dtype', safetensorsBytes({ a: { ...f32([1], 0, 4), dtype: 'F4' } }, data(4)), /unsupported dtype.*"F4"/],
  [
    'a dtype from the prototype',
    safetensorsBytes({ a: { ...f32([1], 0, 4), dtype: 'toString' } }, data(4)),
    /unsupported/,
  ],
  ['a negative dimension', safetensorsBytes({ a: f32([-1], 0, 4) }, data(4)), /wrong shape.*\[-1\]/],
  ['a fractional dimension', safetensorsBytes({ a: f32([1.5], 0, 6) }, data(6)), /wrong shape/],
  ['a shape that is no list', safetensorsBytes({ a: { ...f32([1], 0, 4), shape: 1 } }, data(4)), /wrong shape/],
  ['a size that overflows', safetensorsBytes({ a: f32([2 ** 40, 2 ** 40, 0], 0, 0) }), /impossibly large/],
  ['one offset', safetensorsBytes({ a: { ...f32([1], 0, 4), data_offsets: [0] } }, data(4)), /wrong data_offsets/],
  ['a negative offset', safetensorsBytes({ a: f32([1], -4, 0) }, data(4)), /wrong data_offsets/],
  ['an end before the beginning', safetensorsBytes({ a: f32([1], 4, 0) }, data(4)), /ends before it begins/],
  [
    'a length that the shape contradicts',
    safetensorsBytes({ a: f32([2], 0, 4) }, data(4)),
    /wrong length; expected 8 bytes/,
  ],
  [
    'a tensor beyond the end',
    safetensorsBytes({ a: f32([2], 0, 8) }, data(4)),
    /beyond the end of the file.*4 B are missing/,
  ],
  ['an overlap', safetensorsBytes({ a: f32([2], 0, 8), b: f32([2], 4, 12) }, data(12)), /tensor "b" overlaps/],
  ['a gap', safetensorsBytes({ a: f32([1], 0, 4), b: f32([1], 8, 12) }, data(12)), /gap of 4 bytes before tensor "b"/],
  ['a gap at the start', safetensorsBytes({ a: f32([1], 4, 8) }, data(8)), /gap of 4 bytes/],
  ['data behind the last tensor', safetensorsBytes({ a: f32([1], 0, 4) }, data(5)), /data behind the last tensor/],
  ['an unknown field', safetensorsBytes({ a: { ...f32([1], 0, 4), stride: 1 } }, data(4)), /unknown field "stride"/],
  ['metadata that is a list', safetensorsBytes({ __metadata__: [] }), /__metadata__ is wrong/],
  [
    'metadata that is no string',
    safetensorsBytes({ __metadata__: { a: 1 } }),
    /metadata entry "a" is wrong; expected a string, received 1/,
  ],
  [
    'a tensor given twice',
    safetensorsBytes(`{"a":${oneF32},"\\u0061":${oneF32}}`, data(4)),
    /"a" appears twice/,
  ],
  ['a metadata key given twice', safetensorsBytes('{"__metadata__":{"k":"1","k":"2"}}'), /"k" appears twice/],
  [
    'a field given twice',
    safetensorsBytes('{"a":{"dtype":"F32","shape":[],"shape":[0],"data_offsets":[0,0]}}'),
    /"shape" appears twice/,
  ],
]

for (const [what, content, message] of corruptions) {
  test(`${what} is refused with what was wrong`, t => refused(t, content, message))
}

test('control characters in a tensor name do not reach the message', t => {
  const content = safetensorsBytes({ '\u001b[31m': 1 })
  const error = t.throws(() => parseSafetensors('x', content), { instanceOf: LorikeetError })
  t.false(error.message.includes('\u001b'))
})

test('a file cut anywhere is refused', t => {
  const whole = fs.readFileSync(fixture)
  for (let length = 0; length < whole.length; length += 1009) {
    const error = t.throws(() => parseSafetensors('cut', whole.subarray(0, length)), { instanceOf: LorikeetError })
    if (error.kind !== 'input') t.fail(`${length}: ${error.kind}`)
  }
})

test('pickles and other foreign files are refused with the way to go on', t => {
  const folder = temporaryFolder()
  const write = (name: string, content: string | Uint8Array) => {
    fs.writeFileSync(path.join(folder, name), content)
    return path.join(folder, name)
  }
  const cases: [string, RegExp][] = [
    [write('model.ckpt', safetensorsBytes({})), /PyTorch pickle file.*weights_only=True.*'model.safetensors'/],
    [write('zip.safetensors', 'PK\x03\x04 and so on'), /PyTorch pickle file/],
    [write('old.safetensors', Uint8Array.of(0x80, 2, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9)), /PyTorch pickle file/],
    [write('lfs.safetensors', 'version https://git-lfs.github.com/spec/v1\noid sha256:0\n'), /git lfs pull/],
    [write('page.safetensors', '<!DOCTYPE html><html>'), /web page.*log in/],
    [write('q.safetensors', 'GGUF\x03\0\0\0'), /GGUF/],
    [path.join(folder, 'absent.safetensors'), /no such file/],
    [folder, /received a folder/],
    ['/dev/zero', /something that is not a file/],
  ]
  for (const [file, message] of cases) {
    const error = t.throws(() => openSafetensors(file), { instanceOf: LorikeetError })
    t.is(error.kind, 'input')
    t.regex(error.message, message)
  }
})

test('the header gives absolute positions, and tensors read as they were written', t => {
  const file = openSafetensors(fixture)
  t.is(file.tensors.size, 648)
  t.is(file.metadata.ss_network_dim, '4')
  const alpha = file.tensors.get('lora_te_text_model_encoder_layers_0_mlp_fc1.alpha')
  t.deepEqual(alpha, { name: alpha?.name ?? '', dtype: 'F16', shape: [], offset: 8 + file.headerBytes, bytes: 2 })
  t.deepEqual([...readTensor(file, alpha?.name ?? '')], [2])
  t.throws(() => readTensor(file, 'absent'), { instanceOf: LorikeetError, message: /no tensor "absent"/ })
})

test('files of the reference writer are written again with the same bytes', t => {
  const folder = temporaryFolder()
  for (const source of [
    fixture,
    'test/fixtures/sd15-tiny/single/sd15-tiny.safetensors', // I64, F32, I32 and F16
    'test/fixtures/flux-tiny/lora_inference/lora.safetensors', // BF16
    'test/fixtures/quant/fp8.safetensors', // F32 and U8
  ]) {
    const file = openSafetensors(source)
    const tensors = [...file.tensors.values()].reverse().map(
      ({ name, dtype, shape }): TensorData => ({ name, dtype, shape, data: () => readTensorRaw(file, name) }),
    )
    const copy = path.join(folder, 'copy.safetensors')
    writeSafetensors(copy, tensors, file.metadata)
    t.true(fs.readFileSync(copy).equals(fs.readFileSync(source)), source)
  }
})

test('f32 values are stored rounded, in every float dtype, and read back', t => {
  const target = path.join(temporaryFolder(), 'x.safetensors')
  const values = Float32Array.of(1, -0.1, 1e-7, 65504, 3.14159, 0)
  writeSafetensors(target, [
    { name: 'half', dtype: 'F16', shape: [2, 3], data: values },
    { name: 'brain', dtype: 'BF16', shape: [6], data: () => values },
    { name: 'full', dtype: 'F32', shape: [3, 2], data: values },
    { name: 'none', dtype: 'F32', shape: [0, 4], data: new Float32Array() },
  ])
  const file = openSafetensors(target)
  t.deepEqual([...file.tensors.keys()], ['full', 'none', 'brain', 'half'])
  t.is((8 + file.headerBytes) % 8, 0)
  t.deepEqual(readTensor(file, 'full'), values)
  t.deepEqual([...readTensor(file, 'none')], [])
  for (const [name, relative, absolute] of [['half', 2 ** -11, 2 ** -25], ['brain', 2 ** -8, 0]] as const) {
    readTensor(file, name).forEach((value, i) => {
      t.true(Math.abs(value - values[i]) <= Math.abs(values[i]) * relative + absolute, `${name} ${values[i]}`)
    })
  }
})

test('a value that F16 cannot hold is refused and the old file stays', t => {
  const target = path.join(temporaryFolder(), 'x.safetensors')
  writeSafetensors(target, [{ name: 'a', dtype: 'F16', shape: [1], data: Float32Array.of(1) }])
  const before = fs.readFileSync(target)
  const large = (value: number) => () =>
    writeSafetensors(target, [{ name: 'a', dtype: 'F16', shape: [1], data: Float32Array.of(value) }])
  const error = t.throws(large(65520), { instanceOf: LorikeetError })
  t.regex(error.message, /"a" does not fit into F16.*BF16 or F32/)
  t.true(fs.readFileSync(target).equals(before))
  t.notThrows(large(65519))
  t.is(readTensor(openSafetensors(target), 'a')[0], 65504)
})

test('wrong arguments are programming errors', t => {
  const target = path.join(temporaryFolder(), 'x.safetensors')
  const one = { name: 'a', dtype: 'F32', shape: [1], data: Float32Array.of(1) } as const
  t.throws(() => writeSafetensors(target, [one, one]), { message: /given twice/ })
  t.throws(() => writeSafetensors(target, [{ ...one, shape: [2] }]), { message: /1 values for shape \[2\]/ })
  t.throws(() => writeSafetensors(target, [{ ...one, dtype: 'I64' }]), { message: /raw bytes/ })
  t.false(fs.existsSync(target))
})
