/** Who is measured, and how each is asked: in a process of its own, see subjects/run.js. */

const { spawn } = require('node:child_process')
const { join } = require('node:path')

/**
 * @typedef {import('./measures.js').Answer} Answer
 * @typedef {import('./measures.js').Precision} Precision
 * @typedef {object} Subject
 * @property {string} name
 * @property {Precision} precision
 * @property {string[]} command
 * @property {boolean} [product]
 * @property {boolean} [concurrent] whether it has calls that can wait side by side
 * @property {{ max?: number, mean?: number, changed?: number }} tolerance how far its scores may be from the
 *   reference: at most, on average, and in the share of decisions
 */

/** @param {ReturnType<typeof import('./prepare.js').prepare>} ready @param {{ python: boolean, candle: boolean }} wanted @returns {Subject[]} */
function subjects({ python, native }, wanted) {
  const child = (/** @type {string} */ name) => [process.execPath, join(__dirname, 'subjects', 'run.js'), name]
  // Rounding to 8 bits costs something, more or less, as it is done with more or less care.
  const int8 = { precision: /** @type {const} */ ('int8'), tolerance: { mean: 0.005 } }
  const f32 = { precision: /** @type {const} */ ('f32'), tolerance: { max: 1e-5 } }
  const peer = { name: 'transformers.js', command: child('transformersjs'), concurrent: true }
  const product = { name: 'ours', command: child('ours'), concurrent: true, product: true }
  return [
    // Its scores come rounded to 4 decimals.
    { ...product, ...f32, tolerance: { max: 1e-5 + 5e-5 } },
    { ...peer, ...f32 },
    { ...product, ...int8, tolerance: { ...int8.tolerance, changed: 1 / 200 } },
    { ...peer, ...int8 },
    // Its GELU is another one, the tanh approximation.
    ...(wanted.candle ? [{ name: 'candle', ...f32, command: [native['bench-candle']], tolerance: { max: 1e-3 } }] : []),
    ...(wanted.python ? [{ name: 'Python', ...f32, command: [python, join(__dirname, 'subjects', 'python.py')] }] : []),
  ]
}

/**
 * One round of a subject in a process of its own.
 *
 * @param {Subject} subject @param {import('./subjects/run.js').Request} request @returns {Promise<Answer>}
 */
function ask({ command: [program, ...args], name, precision }, request) {
  const threads = String(request.threads)
  const env = {
    ...process.env,
    RAYON_NUM_THREADS: threads,
    OMP_NUM_THREADS: threads,
    MKL_NUM_THREADS: threads,
    TOKENIZERS_PARALLELISM: 'false',
    HF_HUB_OFFLINE: '1',
  }
  return new Promise((resolve, reject) => {
    const start = performance.now()
    const child = spawn(program, args, { env, stdio: 'pipe' })
    let [output, complaint, start_ms] = ['', '', 0]
    child.stdout.setEncoding('utf8').on('data', (chunk) => {
      start_ms ||= performance.now() - start
      output += chunk
    })
    child.stderr.setEncoding('utf8').on('data', (chunk) => {
      complaint += chunk
    })
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) return resolve({ ...JSON.parse(output), start_ms })
      reject(new Error(`${name} ${precision} failed with ${code}: ${complaint.trim()}`))
    })
    child.stdin.on('error', () => {}).end(JSON.stringify(request))
  })
}

module.exports = { ask, subjects }
