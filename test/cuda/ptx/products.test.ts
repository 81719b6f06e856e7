/** The PTX that nvcc makes of matrix products and attention, executed on what the emulator's tests launch. */
import { haveNvcc, ptx, testFaults, testPrograms } from '../../helpers/ptx'

if (haveNvcc()) {
  testPrograms(ptx.programs().filter((name) => /^(gemm|attention)\//.test(name)))

  testFaults([
    ['two registers of ldmatrix exchanged', 'gemm/matmul', (text) =>
      text.replace(/(ldmatrix\S+ \{)(%r\d+), ?(%r\d+)/g, '$1$3, $2')],
    ['ldmatrix without its transposition', 'gemm/weight_grad', (text) => text.replaceAll('x4.trans.', 'x4.')],
    ['the registers of B in mma exchanged', 'attention/attention', (text) =>
      text.replace(/(mma\.sync.*\}, \{.*\}, \{)(%r\d+), ?(%r\d+)\}/g, '$1$3, $2}')],
    ['the halves of a packed pair exchanged', 'attention/attention', (text) =>
      text.replace(/(cvt\.rn\.bf16x2\.f32 %r\d+), ?(%f\d+), ?(%f\d+)/g, '$1, $3, $2')],
    ['copies that nobody waits for', 'gemm/weight_grad', (text) => text.replace(/cp\.async\.wait_group \d+;/g, '')],
  ])
}
