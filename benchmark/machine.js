/** The machine: what it is, and whether it has nothing else to do. */

const { execFileSync } = require('node:child_process')
const { readFileSync } = require('node:fs')
const os = require('node:os')
const { join } = require('node:path')
const { setTimeout: sleep } = require('node:timers/promises')
const { sum } = require('./measures.js')
const { ROOT } = require('./prepare.js')

/** A round begins when others keep the processors busy for less than this share, or after so many seconds. */
const QUIET = { share: 0.05, seconds: 20 }

/** @param {string} program @param {string[]} args */
function tell(program, args) {
  try {
    return execFileSync(program, args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return ''
  }
}

/** @param {string} python @param {boolean} noPython @returns {[string, string][]} */
function describeMachine(python, noPython) {
  const lscpu = tell('lscpu', [])
  const caches = [...lscpu.matchAll(/^(L1d|L2|L3).*?:\s+(.+?)(?: \(.*)?$/gm)].map(([, name, size]) => `${name} ${size}`)
  const [transformersjs, onnxruntime] = ['@huggingface/transformers', 'onnxruntime-node'].map(
    (name) => JSON.parse(readFileSync(join(__dirname, 'node_modules', name, 'package.json'), 'utf8')).version,
  )
  const locked = readFileSync(join(ROOT, 'Cargo.lock'), 'utf8')
  const script =
    'import platform, torch, transformers as t; print(platform.python_version(), torch.__version__, t.__version__)'
  const [ownVersion, torch, transformers] = noPython ? [] : tell(python, ['-c', script]).split(' ')
  return [
    ['date', new Date().toISOString().slice(0, 10)],
    ['audit-anomaly', tell('git', ['describe', '--always', '--dirty']) || require('../package.json').version],
    ['processor', [os.cpus()[0].model, `${os.availableParallelism()} cores`, ...caches].join(', ')],
    ['memory', `${Math.round(os.totalmem() / 2 ** 30)} GiB`],
    ['system', `${os.type()} ${os.release()}, ${os.arch()}`],
    ['Node.js', process.version],
    ['rustc', tell('rustc', ['--version']).split(' ')[1] ?? ''],
    ['candle', /name = "candle-core"\nversion = "(.+)"/.exec(locked)?.[1] ?? ''],
    ['transformers.js', `${transformersjs}, onnxruntime-node ${onnxruntime}`],
    ...(torch
      ? [/** @type {[string, string]} */ (['Python', `${ownVersion}, transformers ${transformers}, torch ${torch}`])]
      : []),
  ]
}

/** Waits until nobody else is at work, and says whether that came. */
async function untilQuiet() {
  const times = () => {
    const all = os.cpus().flatMap(({ times }) => Object.values(times))
    return { all: sum(all), idle: sum(os.cpus().map(({ times }) => times.idle)) }
  }
  for (const end = performance.now() + QUIET.seconds * 1000; performance.now() < end; ) {
    const before = times()
    await sleep(300)
    const after = times()
    if (after.idle - before.idle >= (1 - QUIET.share) * (after.all - before.all)) return true
  }
  return false
}

module.exports = { describeMachine, untilQuiet }
