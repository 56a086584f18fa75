/**
 * Makes a checkout ready to run: checks the tools, installs the npm packages of package-lock.json,
 * builds the addon in release mode. Each step is skipped or quick when there is nothing to do.
 */

const { spawnSync } = require('node:child_process')
const { existsSync, statSync } = require('node:fs')
const { join } = require('node:path')
const { requireToolchain } = require('./toolchain.js')

const ROOT = join(__dirname, '..')

// npm tells its scripts which project it works for; that may be another one, which depends on this.
const { npm_config_local_prefix: _, ...environment } = process.env

/** @param {string} title @param {string} command @param {string[]} args */
function step(title, command, args) {
  console.error(`\n> ${title}`)
  const { status, error } = spawnSync(command, args, {
    cwd: ROOT,
    env: environment,
    // Progress goes to standard error, and leaves standard output to whoever asked.
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  })
  if (status === 0) return
  console.error(`\naudit-anomaly: "${command} ${args.join(' ')}" failed${error ? `: ${error.message}` : ''}`)
  process.exit(1)
}

/** Whether node_modules is what package-lock.json says: npm writes its own copy after each install. */
function packagesAreCurrent() {
  const installed = join(ROOT, 'node_modules', '.package-lock.json')
  return existsSync(installed) && statSync(installed).mtimeMs >= statSync(join(ROOT, 'package-lock.json')).mtimeMs
}

/** Whether the build tool is there; npm is at work itself while it runs an install script. */
function canBuild() {
  return existsSync(join(ROOT, 'node_modules', '@napi-rs', 'cli', 'package.json'))
}

/** @param {() => boolean} hasPackages */
function setup(hasPackages) {
  requireToolchain()
  if (!hasPackages()) {
    // Not `npm ci`, which refuses a lock without the binaries of every other platform, as npm writes it
    // where the registry has those of one alone. The versions are still those of the lock.
    step('installing npm packages', 'npm', ['install', '--no-save', '--ignore-scripts', '--no-fund', '--no-audit'])
  }
  // cargo knows best what has to be built again.
  step('building the addon (the first time takes some minutes)', 'npm', ['run', '--silent', 'build'])
}

if (require.main === module) setup(packagesAreCurrent)

module.exports = { setup, canBuild }
