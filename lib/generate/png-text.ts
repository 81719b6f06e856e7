/**
 * Text chunks of PNG files (Portable Network Graphics, 3rd edition, sections 5.3 and 11.3.3): a chunk is its length, its
 * type, its data and a CRC-32 of type and data. ASCII goes into `tEXt`, all other text into `iTXt`: `tEXt` is Latin-1 by the
 * standard, but libvips for one reads it as UTF-8.
 */
import * as zlib from 'node:zlib'
import { LorikeetError } from '../base/errors'

const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
/** A chunk without its data. */
const frameBytes = 12
/** Signature and header chunk; text may follow from here on. */
const headerEnd = signature.length + frameBytes + 13
/** Compressed text that unpacks to more than this is no settings. */
const largestText = 16 * 2 ** 20

/** The same picture with one more text. `keyword`: 1 to 79 characters of Latin-1. */
export function insertText(png: Uint8Array, keyword: string, text: string): Buffer {
  const ascii = /^[\n\x20-\x7e]*$/.test(text)
  const data = ascii
    ? Buffer.concat([Buffer.from(`${keyword}\0`, 'latin1'), Buffer.from(text, 'latin1')])
    : // After the keyword: not compressed (2 bytes), no language, no translated keyword.
      Buffer.concat([Buffer.from(`${keyword}\0\0\0\0\0`, 'latin1'), Buffer.from(text, 'utf8')])
  return Buffer.concat([png.subarray(0, headerEnd), chunk(ascii ? 'tEXt' : 'iTXt', data), png.subarray(headerEnd)])
}

function chunk(type: string, data: Uint8Array): Buffer {
  const result = Buffer.alloc(data.length + frameBytes)
  result.writeUInt32BE(data.length, 0)
  result.write(type, 4, 'latin1')
  result.set(data, 8)
  result.writeUInt32BE(zlib.crc32(result.subarray(4, 8 + data.length)), 8 + data.length)
  return result
}

/**
 * All texts by keyword; of several with one keyword the first.
 * @param where names the file in errors
 * @throws LorikeetError (input) when the bytes are no whole PNG file
 */
export function readTexts(png: Uint8Array, where: string): Map<string, string> {
  const bytes = Buffer.from(png.buffer, png.byteOffset, png.byteLength)
  if (!bytes.subarray(0, signature.length).equals(signature))
    throw new LorikeetError('input', 'this is no PNG file', { where })
  const texts = new Map<string, string>()
  let at = signature.length
  for (;;) {
    if (at + frameBytes > bytes.length) throw damaged(where, 'ends too early')
    const end = at + frameBytes + bytes.readUInt32BE(at)
    if (end > bytes.length) throw damaged(where, 'ends inside a chunk')
    const type = bytes.toString('latin1', at + 4, at + 8)
    if (bytes.readUInt32BE(end - 4) !== zlib.crc32(bytes.subarray(at + 4, end - 4)))
      throw damaged(where, `has a damaged ${JSON.stringify(type)} chunk`)
    if (type === 'IEND') return texts
    const entry = decoders[type]?.(bytes.subarray(at + 8, end - 4))
    if (entry && !texts.has(entry.keyword)) texts.set(entry.keyword, entry.text)
    at = end
  }
}

function damaged(where: string, problem: string): LorikeetError {
  return new LorikeetError('input', `the PNG file ${problem}`, { where, fix: 'The copy is damaged: fetch it again' })
}

type Decoder = (data: Buffer) => { keyword: string; text: string } | undefined

/** Undefined where a chunk holds no text that can be read. */
const decoders: Record<string, Decoder> = {
  tEXt(data) {
    const split = data.indexOf(0)
    if (split < 0) return undefined
    return { keyword: data.toString('latin1', 0, split), text: data.toString('latin1', split + 1) }
  },
  zTXt(data) {
    const split = data.indexOf(0)
    const text = split < 0 ? undefined : inflate(data.subarray(split + 2))
    return text && { keyword: data.toString('latin1', 0, split), text: text.toString('latin1') }
  },
  iTXt(data) {
    const split = data.indexOf(0)
    const languageEnd = split < 0 ? -1 : data.indexOf(0, split + 3)
    const keywordEnd = languageEnd < 0 ? -1 : data.indexOf(0, languageEnd + 1)
    if (keywordEnd < 0) return undefined
    const rest = data.subarray(keywordEnd + 1)
    const text = data[split + 1] === 1 ? inflate(rest) : rest
    return text && { keyword: data.toString('latin1', 0, split), text: text.toString('utf8') }
  },
}

function inflate(data: Uint8Array): Buffer | undefined {
  try {
    return zlib.inflateSync(data, { maxOutputLength: largestText })
  } catch {
    return undefined
  }
}
