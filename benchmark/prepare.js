/** Makes ready what the benchmark needs, each part only if it is missing or out of date. */

const { spawnSync } = require('node:child_process')
const { createHash } = require('node:crypto')
const { existsSync, mkdirSync, readFileSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')

const ROOT = join(__dirname, '..')
const WORK = join(__dirname, '.work')
const MODEL = join(WORK, 'distilbert-random')
const TEXTS = join(WORK, 'texts.json')

/**
 * Runs a command and returns its standard output; what it says besides goes to the terminal.
 *
 * @param {string} command @param {string[]} args @param {string} [cwd]
 */
function run(command, args, cwd = __dirname) {
  const shell = process.platform === 'win32' && command === 'npm'
  const options = { cwd, shell, encoding: /** @type {const} */ ('utf8'), maxBuffer: 1 << 26 }
  const { status, stdout, error } = spawnSync(command, args, { ...options, stdio: ['ignore', 'pipe', 'inherit'] })
  if (status === 0) return stdout
  throw new Error(`"${command} ${args.join(' ')}" failed${error ? `: ${error.message}` : ''}`)
}

/**
 * Does `make` unless it was done with the same `inputs` before.
 *
 * @param {string} name @param {string} output @param {string[]} inputs files @param {() => void} make
 */
function unlessCurrent(name, output, inputs, make) {
  const hash = createHash('sha256')
  for (const file of inputs) hash.update(readFileSync(file))
  const digest = hash.digest('hex')
  const stamp = join(WORK, `${name}.sha256`)
  if (existsSync(output) && existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return
  console.error(`> making ${name}`)
  make()
  writeFileSync(stamp, digest)
}

/** The peers' npm packages; without install scripts, so that onnxruntime-node downloads nothing. */
function installPeers() {
  const lock = join(__dirname, 'package-lock.json')
  unlessCurrent('node_modules', join(__dirname, 'node_modules'), [lock], () => {
    run('npm', ['install', '--no-save', '--ignore-scripts', '--no-fund', '--no-audit'])
  })
}

/** An interpreter that has requirements.txt. */
function installPython() {
  const requirements = join(__dirname, 'requirements.txt')
  const venv = join(WORK, 'venv')
  const python = process.platform === 'win32' ? join(venv, 'Scripts', 'python.exe') : join(venv, 'bin', 'python')
  unlessCurrent('venv', python, [requirements], () => {
    run(process.platform === 'win32' ? 'python' : 'python3', ['-m', 'venv', venv])
    run(python, ['-m', 'pip', 'install', '--quiet', '--requirement', requirements])
  })
  return python
}

/** The two Rust programs. @returns {Record<string, string>} their files by name */
function buildNative() {
  const examples = ['bench-candle', 'bench-limits']
  const args = ['build', '--release', '--message-format', 'json', ...examples.flatMap((name) => ['--example', name])]
  const messages = run('cargo', args, ROOT)
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const built = messages.filter(({ executable, target }) => executable && examples.includes(target.name))
  return Object.fromEntries(built.map(({ executable, target }) => [target.name, executable]))
}

/**
 * @param {string} [ownPython] an interpreter that has requirements.txt already
 * @returns {{ model: string, texts: import('./measures.js').Texts, python: string, native: Record<string, string> }}
 */
function prepare(ownPython) {
  mkdirSync(WORK, { recursive: true })
  installPeers()
  const python = ownPython ?? installPython()
  const tokenizer = join(ROOT, 'model', 'tokenizer.json')
  unlessCurrent('texts', TEXTS, [tokenizer, join(__dirname, 'texts.js')], () => run('node', ['texts.js', TEXTS]))
  unlessCurrent('model', MODEL, [tokenizer, TEXTS, join(__dirname, 'make_model.py')], () => {
    console.error(run(python, ['make_model.py', TEXTS, MODEL]).trim())
  })
  return { model: MODEL, texts: JSON.parse(readFileSync(TEXTS, 'utf8')), python, native: buildNative() }
}

module.exports = { ROOT, WORK, prepare, run }
