#!/usr/bin/env node
/**
 * Runs the program `audit-anomaly`: that of AUDIT_ANOMALY_PROGRAM, that which was built in this checkout, or that of the
 * platform package, in this order. Arguments, standard streams, signals and the exit code go through.
 */

const { spawn } = require('node:child_process')
const { existsSync, readdirSync, statSync } = require('node:fs')
const { dirname, join, resolve } = require('node:path')
const { isatty } = require('node:tty')

const ROOT = join(__dirname, '..')
const FILE = process.platform === 'win32' ? 'audit-anomaly.exe' : 'audit-anomaly'
const CHECKOUT = existsSync(join(ROOT, 'Cargo.toml'))

/** The platform packages that could serve here, the fitting one first: a package manager may have installed both. */
function packages() {
  const platform = `audit-anomaly-${process.platform}-${process.arch}`
  if (process.platform === 'win32') return [`${platform}-msvc`]
  if (process.platform !== 'linux') return [platform]
  // It would look up names, and take seconds.
  const report = /** @type {any} */ (process.report)
  report.excludeNetwork = true
  const { header } = report.getReport()
  const names = [`${platform}-gnu`, `${platform}-musl`]
  return header.glibcVersionRuntime ? names : names.reverse()
}

/** What cargo built here, the newest first. */
function built() {
  if (!CHECKOUT) return []
  const target = resolve(ROOT, process.env.CARGO_TARGET_DIR ?? 'target')
  const folders = existsSync(target) ? ['.', ...readdirSync(target)] : []
  return folders
    .map((folder) => join(target, folder, 'release', FILE))
    .filter((file) => statSync(file, { throwIfNoEntry: false })?.isFile())
    .sort((one, other) => statSync(other).mtimeMs - statSync(one).mtimeMs)
}

function installed() {
  return packages().flatMap((name) => {
    try {
      const file = join(dirname(require.resolve(`${name}/package.json`)), FILE)
      return existsSync(file) ? [file] : []
    } catch {
      return []
    }
  })
}

/** @returns {string | undefined} */
function find() {
  return process.env.AUDIT_ANOMALY_PROGRAM || (built()[0] ?? installed()[0])
}

/** @param {string} message */
function fail(message) {
  console.error(`audit-anomaly: ${message}`)
  process.exitCode = 1
}

/** @param {string} program */
function run(program) {
  // A terminal sends Ctrl-C to the program too, and two of them would end it before it has written its last lines.
  const terminal = [0, 1, 2].some((stream) => isatty(stream))
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(signal, () => {
      if (signal !== 'SIGINT' || !terminal) child.kill(signal)
    })
  }
  // After the handlers, for a signal in between would end this process and leave the program behind.
  const child = spawn(program, process.argv.slice(2), { stdio: 'inherit' })
  child.on('error', (error) => fail(`${program} cannot be run: ${error.message}`))
  child.on('exit', (code, signal) => {
    if (signal) {
      process.removeAllListeners(signal)
      process.kill(process.pid, signal)
    } else {
      process.exitCode = code ?? 1
    }
  })
}

const program = find()
if (program) {
  run(program)
} else if (CHECKOUT) {
  fail(`the program is not built. Build it with: npm --prefix ${JSON.stringify(ROOT)} run build:program`)
} else {
  fail(
    `the program for ${process.platform}-${process.arch} is in the package ${packages()[0]}, which is not installed. ` +
      'npm leaves it out with --omit=optional, and with a lock file from another platform. ' +
      'Where there is no such package, build the program from a checkout: npm run build:program',
  )
}
