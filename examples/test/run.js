#!/usr/bin/env node
/**
 * Runs the examples and every code block of the documents, with all that they need: installs the examples' packages and,
 * as root, Redis; links this package beside them; builds the program; checks the types; runs Jest.
 *
 *     npm run test:examples
 */

const { spawnSync } = require('node:child_process')
const { existsSync, lstatSync, rmSync, statSync, symlinkSync } = require('node:fs')
const { join } = require('node:path')
const { buildProgram } = require('../../scripts/program.js')

const EXAMPLES = join(__dirname, '..')
const ROOT = join(EXAMPLES, '..')

// npm tells its scripts which project it works for; here that is another one than the examples.
const { npm_config_local_prefix: _, ...environment } = process.env

/** @param {string} command @param {string[]} args @param {import('node:child_process').SpawnSyncOptions} [options] */
function run(command, args, options) {
  const { status, error } = spawnSync(command, args, {
    stdio: ['ignore', 2, 2],
    env: environment,
    cwd: ROOT,
    ...options,
  })
  if (status !== 0) throw new Error(`"${command} ${args.join(' ')}" failed${error ? `: ${error.message}` : ''}`)
}

/** @param {string} command */
const runs = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0

function installPackages() {
  const installed = join(EXAMPLES, 'node_modules', '.package-lock.json')
  const current =
    existsSync(installed) && statSync(installed).mtimeMs >= statSync(join(EXAMPLES, 'package-lock.json')).mtimeMs
  if (!current) {
    run('npm', ['install', '--no-save', '--ignore-scripts', '--no-fund', '--no-audit', '--silent'], { cwd: EXAMPLES })
  }
  const link = join(EXAMPLES, 'node_modules', 'audit-anomaly')
  if (lstatSync(link, { throwIfNoEntry: false })) rmSync(link, { recursive: true })
  symlinkSync(join('..', '..'), link, 'dir')
}

/** For the BullMQ example, whose test says so and is skipped where there is none. */
function installRedis() {
  if (runs('redis-server') || process.platform !== 'linux' || process.getuid?.() !== 0) return
  try {
    run('apt-get', ['update', '-qq'])
    run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'redis-server'])
  } catch (error) {
    console.error(/** @type {Error} */ (error).message)
  }
}

function main() {
  installPackages()
  installRedis()
  const program = buildProgram()
  const tool = (/** @type {string} */ name) => join(ROOT, 'node_modules', '.bin', name)
  run(tool('tsc'), ['-p', EXAMPLES])
  run(tool('jest'), ['--config', join(EXAMPLES, 'jest.config.js'), ...process.argv.slice(2)], {
    env: { ...environment, AUDIT_ANOMALY_PROGRAM: program },
  })
}

try {
  main()
} catch (error) {
  console.error(/** @type {Error} */ (error).message)
  process.exitCode = 1
}
