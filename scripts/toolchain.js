/** Checks what must be on a machine before this project can be built from source. */

const { spawnSync } = require('node:child_process')

const NODE = [20, 17]
const RUST = [1, 94]

/** @param {string} text @returns {number[]} major and minor */
const version = (text) => (/(\d+)\.(\d+)/.exec(text) ?? []).slice(1).map(Number)

/** @param {number[]} found @param {number[]} wanted */
const atLeast = ([major = -1, minor = -1], [wantedMajor, wantedMinor]) =>
  major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)

/** @param {string} command @param {string[]} args @returns {string | undefined} what it prints, if it runs */
function output(command, args) {
  const { status, stdout } = spawnSync(command, args, { encoding: 'utf8', shell: process.platform === 'win32' })
  return status === 0 ? stdout : undefined
}

/** @returns {string[]} one sentence for each thing that is missing or too old */
function missing() {
  const problems = []
  if (!atLeast(version(process.versions.node), NODE)) {
    problems.push(`Node.js ${NODE.join('.')} or newer is needed; this is ${process.versions.node}.`)
  }
  const rustc = output('rustc', ['--version'])
  if (!rustc || !output('cargo', ['--version'])) {
    problems.push(`Rust ${RUST.join('.')} or newer is needed, and rustc and cargo are not on the PATH; see rustup.rs.`)
  } else if (!atLeast(version(rustc), RUST)) {
    problems.push(`Rust ${RUST.join('.')} or newer is needed; this is ${rustc.trim()}. Try: rustup update stable`)
  }
  // On Windows the MSVC tools are not on the PATH; Rust finds them by itself and says what it lacks.
  if (process.platform !== 'win32' && !output(process.env.CC ?? 'cc', ['--version'])) {
    problems.push('A C compiler is needed, and cc is not on the PATH. On Debian: apt-get install gcc libc6-dev')
  }
  return problems
}

/** Prints what is missing and ends the process with 1, or returns. */
function requireToolchain() {
  const problems = missing()
  if (problems.length === 0) return
  console.error(`\naudit-anomaly cannot be built here:\n${problems.map((problem) => `  - ${problem}`).join('\n')}\n`)
  process.exit(1)
}

module.exports = { requireToolchain }
