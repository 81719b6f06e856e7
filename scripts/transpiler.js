/**
 * What ts-node compiles TypeScript with (tsconfig.json names it): TypeScript itself, whose output is kept in
 * .cache/transpiled/. The tests start more than a hundred workers and processes, each of which reads most of lib/.
 * An entry holds a hash of everything that its content follows from, so it never goes stale. Plain JavaScript.
 */
const crypto = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')
const { root } = require('./sources')

const folder = path.join(root, '.cache', 'transpiled')

/** ts-node calls this once for each process. */
function create({ service }) {
  const options = service.config.options
  const common = JSON.stringify([require('typescript/package.json').version, options])
  return {
    transpile(input, { fileName }) {
      const name = path.relative(root, fileName)
      const hash = crypto.createHash('sha256').update(common).update(`\n${name}\n`).update(input).digest('hex')
      const file = path.join(folder, `${encodeURIComponent(name)}.json`)
      const kept = read(file)
      return kept?.hash === hash ? kept : write(file, { hash, ...compile(input, fileName, options) })
    },
  }
}

function compile(input, fileName, compilerOptions) {
  const { outputText, sourceMapText } = require('typescript').transpileModule(input, { fileName, compilerOptions })
  return { outputText, sourceMapText }
}

/** Null where there is none, or half of one. */
function read(file) {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8'))
  } catch {
    return null
  }
}

/** A cache that cannot be written (a full disk, a folder of somebody else's) is no reason to stop. */
function write(file, output) {
  const own = `${file}.${process.pid}.${crypto.randomUUID()}`
  try {
    fs.mkdirSync(folder, { recursive: true })
    fs.writeFileSync(own, JSON.stringify(output))
    fs.renameSync(own, file)
  } catch {
    fs.rmSync(own, { force: true })
  }
  return output
}

module.exports = { create }
