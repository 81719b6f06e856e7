/**
 * `npm run test:sanitize`: the addon under AddressSanitizer and UndefinedBehaviorSanitizer. Builds it into build-asan/
 * and runs the tests that exercise native code with it (arguments name other tests). Leaks are not looked for: Node
 * keeps what it needs until it exits.
 */
const { execFileSync } = require('node:child_process')
const path = require('node:path')
const { root } = require('./sources')
const { detect, check } = require('./toolchain')
const { runCmakeJs } = require('./build')
const { setup } = require('./setup')
const { runAva, finish } = require('./test')

const tests = ['test/native/**/*.test.ts', 'test/graph/**/*.test.ts']

async function main(args) {
  setup()
  const found = detect()
  check(found, 'cmake-js')
  const out = path.join(root, 'build-asan')
  process.env.LORIKEET_CUDA = 'off' // what runs on a card no sanitizer of the host sees
  runCmakeJs(found, { out, definitions: { LORIKEET_SANITIZE: 'ON' } })

  // Node itself is not instrumented, so the sanitizer's runtime has to be loaded before everything else.
  const runtime = execFileSync(found.compilerName, ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim()
  finish(
    await runAva(args.length > 0 ? args : tests, {
      LD_PRELOAD: runtime,
      ASAN_OPTIONS: 'detect_leaks=0:detect_stack_use_after_return=0',
      UBSAN_OPTIONS: 'print_stacktrace=1',
      LORIKEET_NATIVE: path.join(out, 'Release', 'lorikeet.node'),
    }),
  )
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.message)
  process.exitCode = 1
})
