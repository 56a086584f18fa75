/** Runs programs in processes of their own: a process has one model, and some tests end it. */

const { spawn } = require('node:child_process')
const { join } = require('node:path')

const ROOT = join(__dirname, '..', '..')
const TINY = join(ROOT, '__test__', 'fixtures', 'tiny')

/** The variables of this process that have nothing to do with this package. */
function cleanEnvironment() {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(ANOMALY_|HF_|XDG_|NODE_OPTIONS$)/.test(name)),
  )
}

/**
 * Runs the body of an async function in a new process, with the package as `api`, the Node.js
 * modules by `require`, and `out(value)` to hand a value back.
 *
 * @param {string} body
 * @param {Record<string, string>} [env] on top of a clean environment
 * @param {{ args?: string[], timeout?: number }} [options]
 * @returns {Promise<{ code: number | null, signal: string | null, ms: number, values: any[], stderr: string }>}
 */
function run(body, env = {}, { args = [], timeout = 45_000 } = {}) {
  const program = `
    'use strict'
    const api = require(${JSON.stringify(ROOT)})
    const out = (value) => require('fs').writeSync(1, JSON.stringify(value === undefined ? null : value) + '\\n')
    const describe = (error) => ({
      name: error.name, code: error.code, message: error.message, details: error.details,
      isError: error instanceof Error, isAnomalyError: error instanceof api.AnomalyError,
    })
    const failure = (promise) => promise.then((value) => ({ resolved: value }), describe)
    ;(async () => { ${body} })().catch((error) => { console.error(error); process.exitCode = 99 })`
  return new Promise((resolve) => {
    const start = Date.now()
    const child = spawn(process.execPath, [...args, '-e', program], {
      cwd: ROOT,
      env: { ...cleanEnvironment(), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout,
      killSignal: 'SIGKILL',
    })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (chunk) => (stdout += chunk))
    child.stderr.on('data', (chunk) => (stderr += chunk))
    child.on('close', (code, signal) => {
      const values = stdout
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line))
      resolve({ code, signal, ms: Date.now() - start, values, stderr })
    })
  })
}

module.exports = { run, cleanEnvironment, ROOT, TINY }
