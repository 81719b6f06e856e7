/**
 * Brings a fresh clone on Debian or Ubuntu to where it can build and test: system packages, then npm packages. Does
 * nothing, quickly, where nothing is missing. As root, or where sudo asks no password, it installs; elsewhere it prints
 * the command to run and exits 1. Plain JavaScript without dependencies.
 */
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { root } = require('./sources')
const { detect, missing, installCommand, systemPackages } = require('./toolchain')

/** Throws an Error with what to do when the machine lacks something that may not be installed from here. */
function setup(print = console.log) {
  if (process.platform !== 'linux') throw new Error(`Lorikeet builds on Linux only so far; this is ${process.platform}.`)
  installSystemPackages(print)
  installNodePackages(print)
}

function installSystemPackages(print) {
  const words = missing(detect(), 'cmake-js')
  if (words.length === 0) return
  print(`missing: ${words.join(', ')}`)
  const prefix = privilege()
  if (!succeeds('apt-get', ['--version'])) {
    throw new Error(`This machine has no apt-get. Install what these packages hold: ${systemPackages.join(' ')}`)
  }
  if (!prefix) throw new Error(`System packages are missing and need root to install. Run: ${installCommand}`)
  runVisibly([...prefix, 'apt-get', 'update'])
  runVisibly([...prefix, 'apt-get', 'install', '-y', '--no-install-recommends', ...systemPackages])
  const still = missing(detect(), 'cmake-js')
  if (still.length > 0) throw new Error(`After installing ${systemPackages.join(' ')}, still missing: ${still.join(', ')}`)
}

/** The words before a command that make it run as root; null when this user may not. */
function privilege() {
  const env = 'DEBIAN_FRONTEND=noninteractive'
  if (process.getuid() === 0) return ['env', env]
  return succeeds('sudo', ['-n', 'true']) ? ['sudo', '-n', 'env', env] : null
}

function installNodePackages(print) {
  const lacking = lackingPackage()
  if (!lacking) return
  print(`npm ci (${lacking})`)
  // The addon is built by its own step: installing must not start a build as well.
  runVisibly(['npm', 'ci', '--no-audit', '--no-fund'], { ...process.env, LORIKEET_SKIP_BUILD: '1' })
}

/**
 * Why node_modules does not fit the lockfile, or null. Compared by content: the times of the two files say little after
 * a checkout or a copy. Optional packages (other platforms') may be absent.
 */
function lackingPackage() {
  const installedFile = path.join(root, 'node_modules', '.package-lock.json')
  if (!fs.existsSync(installedFile)) return 'node_modules is missing'
  const packages = (file) => JSON.parse(fs.readFileSync(file, 'utf8')).packages
  const wanted = packages(path.join(root, 'package-lock.json'))
  const installed = packages(installedFile)
  for (const [folder, { version, optional, devOptional }] of Object.entries(wanted)) {
    if (folder === '' || optional || devOptional) continue
    const have = installed[folder]?.version
    if (have !== version) return `${folder} is ${have ?? 'missing'}, the lockfile says ${version}`
  }
  return null
}

function succeeds(command, args) {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0
}

function runVisibly([command, ...args], env = process.env) {
  const { status, error } = spawnSync(command, args, { cwd: root, env, stdio: 'inherit' })
  if (error || status !== 0) {
    throw new Error(`${[command, ...args].join(' ')} failed${error ? `: ${error.message}` : ` with exit code ${status}`}`)
  }
}

if (require.main === module) {
  try {
    setup()
  } catch (error) {
    console.error(error.message)
    process.exitCode = 1
  }
}

module.exports = { setup, lackingPackage }
