/**
 * Compiles the CUDA sources with nvcc into build/cuda/, for CMakeLists.txt, which links them into the addon:
 *
 *     node scripts/cuda/objects.js          compile what is out of date, two files at a time on two cores and so on
 *     node scripts/cuda/objects.js list     the objects, one a line; nothing where there is no nvcc
 *     node scripts/cuda/objects.js link     the libraries that they need
 */
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { root, cudaSources } = require('../sources')
const { argumentsFor, findNvcc, flags, chosenTargets, codeArguments, libraryFolder } = require('./nvcc')

const out = path.join(root, 'build', 'cuda')
const objectOf = (file) => path.join(out, `${file.slice('cuda/'.length).replaceAll('/', '_')}.o`)

async function main(command) {
  const nvcc = findNvcc()
  if (!nvcc) return
  const targets = chosenTargets()
  forget([...flags, ...codeArguments(targets)].join(' ')) // when CMake asks for the list, too: it must find them missing
  if (command === 'list') return console.log(cudaSources().map(objectOf).join('\n'))
  if (command === 'link') {
    return console.log([`-L${libraryFolder(nvcc)}`, '-lcudart_static', '-lpthread', '-ldl', '-lrt'].join('\n'))
  }
  const waiting = cudaSources().filter((file) => !upToDate(objectOf(file)))
  const worker = async () => {
    for (let file = waiting.shift(); file; file = waiting.shift()) await compile(nvcc, targets, file)
  }
  await Promise.all(Array.from({ length: os.availableParallelism() }, worker))
}

/** Objects for other targets, or compiled otherwise, are of no use. */
function forget(wanted) {
  const note = path.join(out, 'targets')
  if (fs.existsSync(note) && fs.readFileSync(note, 'utf8') !== wanted) fs.rmSync(out, { recursive: true })
  fs.mkdirSync(out, { recursive: true })
  fs.writeFileSync(note, wanted)
}

function compile(nvcc, targets, file) {
  const object = objectOf(file)
  const started = Date.now()
  const host = ['-fPIC', '-fvisibility=hidden', '-Wall', '-Wno-unused-function'].join(',')
  const source = path.join(root, file)
  const arguments_ = [...argumentsFor(source, targets), '-Xcompiler', host, '-MD', '-MF', `${object}.d`]
  const child = spawn(nvcc, [...arguments_, '-c', source, '-o', `${object}.new`], { stdio: ['ignore', 'inherit', 'inherit'] })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (status) => {
      if (status !== 0) return reject(new Error(`nvcc could not compile ${file} (exit code ${status})`))
      fs.renameSync(`${object}.new`, object)
      console.log(`nvcc ${file} (${((Date.now() - started) / 1000).toFixed(1)} s)`)
      resolve()
    })
  })
}

/** Whether the object is newer than everything that nvcc listed as read. */
function upToDate(object) {
  const listing = `${object}.d`
  if (!fs.existsSync(object) || !fs.existsSync(listing)) return false
  const text = fs.readFileSync(listing, 'utf8').replace(/\\\n/g, ' ')
  const read = text.slice(text.indexOf(':') + 1).trim().split(/\s+/)
  const made = fs.statSync(object).mtimeMs
  return read.every((file) => (fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? Infinity) <= made)
}

main(process.argv[2]).catch((error) => {
  console.error(error.message)
  process.exitCode = 1
})
