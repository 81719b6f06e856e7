/** Recognising files that people give in place of safetensors, and saying what to do with each. */
import * as path from 'node:path'
import { LorikeetError } from '../base/errors'

const pickleExtensions = ['.ckpt', '.pt', '.pth', '.bin', '.pkl']

/**
 * Pickle files can run any code when they are loaded, so they are never opened here.
 * @param first the first bytes of the file; 64 are enough
 * @throws LorikeetError (input) for a file that cannot be safetensors, with the way to get one
 */
export function refuseForeignFile(file: string, first: Uint8Array): void {
  const found = recognise(file, first)
  if (!found) return
  const { what, fix } = found
  throw new LorikeetError('input', `this is ${what}`, { where: file, expected: 'a safetensors file', fix })
}

function recognise(file: string, first: Uint8Array): { what: string; fix: string } | undefined {
  const text = Buffer.from(first.subarray(0, 64)).toString('latin1')
  const isPickle = first[0] === 0x80 && first[1] >= 2 && first[1] <= 5
  if (isPickle || text.startsWith('PK\x03\x04') || pickleExtensions.includes(path.extname(file).toLowerCase())) {
    return {
      what: 'a PyTorch pickle file, which can run code when it is loaded and is therefore not read',
      fix: `Look for a .safetensors version of it, or convert it where PyTorch is installed: ${conversion(file)}`,
    }
  }
  if (text.startsWith('version https://git-lfs')) {
    return { what: 'a Git LFS pointer, not the file itself', fix: 'Fetch the file with: git lfs pull' }
  }
  if (/^\s*<(!doctype|html|\?xml)/i.test(text)) {
    return { what: 'a web page, not a model', fix: 'Download the file again; the site may ask you to log in first' }
  }
  if (text.startsWith('GGUF')) {
    return { what: 'a GGUF file', fix: 'Give the safetensors file that it was made from' }
  }
  return undefined
}

function conversion(file: string): string {
  const name = path.basename(file).replace(/['"\\$`\n]/g, '')
  const out = `${name.slice(0, name.length - path.extname(name).length)}.safetensors`
  return (
    'python -c "import torch, safetensors.torch as s; ' +
    `d = torch.load('${name}', map_location='cpu', weights_only=True); d = d.get('state_dict', d); ` +
    `s.save_file({k: v.clone().contiguous() for k, v in d.items() if torch.is_tensor(v)}, '${out}')"`
  )
}
