/** Builds the program `audit-anomaly`, for the tests, benchmarks and pictures that run it. */

const { spawnSync } = require('node:child_process')
const { join } = require('node:path')

const COMMAND = ['build', '--release', '--no-default-features', '--features', 'server', '--bin', 'audit-anomaly']

/**
 * What is wrong is said on standard error.
 *
 * @returns {string} the program: AUDIT_ANOMALY_PROGRAM if that is set, else built from this checkout
 */
function buildProgram() {
  if (process.env.AUDIT_ANOMALY_PROGRAM) return process.env.AUDIT_ANOMALY_PROGRAM
  const { stdout, status, error } = spawnSync('cargo', [...COMMAND, '--message-format', 'json-render-diagnostics'], {
    cwd: join(__dirname, '..'),
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 2],
    maxBuffer: 1 << 28,
  })
  if (status !== 0) throw new Error(`the program cannot be built${error ? `: ${error.message}` : ''}`)
  const messages = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  return messages.find(({ executable }) => executable).executable
}

module.exports = { buildProgram }
