/** What the machine code of kernels must and must not contain, and the disassembler that shows it. */
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const readline = require('node:readline')
const { InstructionCounter } = require('./figures')

/**
 * Products in bf16: every tile comes by cp.async (LDGSTS) and is read by ldmatrix (LDSM) for mma (HMMA). Any other
 * kernel must keep away from tensor cores, which would round what is f32 to TF32.
 */
const onTensorCores = [/^(attention|attention_dq|attention_dkv)</, /^(matmul|weight_grad)<.*TileShape<bf16,/]

/** Products in f32 have no use for ldmatrix, but tiles come by cp.async all the same. */
const byAsynchronousCopies = [...onTensorCores, /^(matmul|weight_grad)<.*TileShape<float,/]

/** A sentence for each thing that the rows' machine code should not have, or lacks. */
function faults(rows, targets) {
  const disassembled = rows.filter((row) => row.instructions)
  return disassembled.flatMap((row) => {
    const found = targets.flatMap((target) => faultsOf(row, target))
    return found.map((what) => `${row.file} ${row.kernel}: ${what}`)
  })
}

function faultsOf({ kernel, instructions }, target) {
  const is = (rules) => rules.some((rule) => rule.test(kernel))
  const found = []
  const judge = (name, wanted, why) => {
    const has = instructions[name][target] > 0
    if (has !== wanted) found.push(`${has ? 'has' : 'has no'} ${name} on sm_${target}, ${why}`)
  }
  judge('HMMA', is(onTensorCores), 'the instruction of the tensor cores')
  judge('LDSM', is(onTensorCores), 'the instruction of ldmatrix')
  judge('LDGSTS', is(byAsynchronousCopies), 'the instruction of cp.async')
  judge('LDL', false, 'a read of local memory')
  judge('STL', false, 'a write to local memory')
  return found
}

/** Path of cuobjdump: CUOBJDUMP says so, or it lies on PATH, in the toolkit, beside nvcc; null where there is none. */
function findDisassembler(nvcc) {
  if (process.env.CUOBJDUMP) {
    if (fs.existsSync(process.env.CUOBJDUMP)) return path.resolve(process.env.CUOBJDUMP)
    throw new Error(`CUOBJDUMP is ${process.env.CUOBJDUMP}, which does not exist`)
  }
  const toolkit = [path.join(process.env.CUDA_PATH ?? '', 'bin'), path.dirname(nvcc), '/usr/local/cuda/bin']
  const found = [...(process.env.PATH ?? '').split(path.delimiter), ...toolkit]
  const files = found.map((folder) => path.join(folder, 'cuobjdump'))
  return files.find((file) => path.isAbsolute(file) && fs.existsSync(file)) ?? null
}

/** Of an object file: kernel, by the linker's name -> target -> how often it has each instruction that is counted. */
async function countInstructions(disassembler, object) {
  const child = spawn(disassembler, ['-sass', object], { stdio: ['ignore', 'pipe', 'pipe'] })
  let complaint = ''
  child.stderr.on('data', (text) => (complaint += text))
  const ended = new Promise((resolve, reject) => child.on('error', reject).on('close', resolve))
  const counter = new InstructionCounter()
  for await (const line of readline.createInterface({ input: child.stdout })) counter.add(line)
  const status = await ended
  if (status !== 0) throw new Error(`${disassembler} failed on ${object} (exit code ${status}):\n${complaint}`)
  return counter.kernels
}

module.exports = { faults, findDisassembler, countInstructions }
