#!/usr/bin/env node
/**
 * Installs the packed package and that of this platform into an empty project, without Rust and without a network, and
 * uses them there as their users do.
 *
 *     node scripts/release/project.js --packages FOLDER [--tools FOLDER]
 *
 * `--packages` has the tarballs. `--tools` is a folder whose node_modules has TypeScript, Jest, Vitest, tsx, esbuild,
 * publint and attw; without it they are left out, and nothing but Node.js and npm is needed.
 */

const assert = require('node:assert/strict')
const { spawn, spawnSync } = require('node:child_process')
const {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} = require('node:fs')
const { createServer } = require('node:net')
const { tmpdir } = require('node:os')
const { delimiter, dirname, join, resolve } = require('node:path')
const { setTimeout: sleep } = require('node:timers/promises')
const { parseArgs } = require('node:util')
const { NAME, VERSION, here } = require('./platforms.js')

const WINDOWS = process.platform === 'win32'
const FILES = join(__dirname, 'project')
const LINES = ['User logged in successfully', 'Failed login attempt for username: admin']

const options = /** @type {const} */ ({ packages: { type: 'string' }, tools: { type: 'string' } })
const { packages, tools } = parseArgs({ options }).values
if (!packages) throw new Error('--packages FOLDER is needed')

const platform = here()
if (!platform) throw new Error(`there is no package for ${process.platform}-${process.arch}`)
const folder = mkdtempSync(join(tmpdir(), `${NAME}-project-`))
const project = join(folder, 'project')
const environment = prepare()

/** The empty project, and the environment of a machine without Rust. @returns {Record<string, string>} */
function prepare() {
  mkdirSync(project)
  writeFileSync(join(project, 'app.log'), `${LINES.join('\n')}\n`)
  cpSync(FILES, project, { recursive: true })
  // The tools are in a folder above the project, which itself has nothing but the package.
  if (tools) symlinkSync(resolve(tools, 'node_modules'), join(folder, 'node_modules'), 'dir')
  /** @type {Record<string, string>} */
  const nowhere = {
    HOME: folder,
    USERPROFILE: folder,
    ANOMALY_MODEL: 'bundled',
    npm_config_cache: join(folder, 'cache'),
    npm_config_offline: 'true',
    npm_config_registry: 'http://127.0.0.1:9/',
    npm_config_update_notifier: 'false',
    http_proxy: 'http://127.0.0.1:9/',
    https_proxy: 'http://127.0.0.1:9/',
  }
  const { SystemRoot, PATHEXT, ComSpec, TEMP } = /** @type {Record<string, string>} */ (process.env)
  if (WINDOWS)
    return {
      ...nowhere,
      SystemRoot,
      PATHEXT,
      ComSpec,
      TEMP,
      Path: `${dirname(process.execPath)};${SystemRoot}\\System32`,
    }
  const path = join(folder, 'bin')
  mkdirSync(path)
  for (const command of ['node', 'npm', 'npx', 'sh', 'env']) {
    const found = command === 'node' ? process.execPath : which(command)
    symlinkSync(realpathSync(found), join(path, command))
  }
  // npx is found by what it is called with, npm by where it is.
  return { ...nowhere, PATH: path }
}

/** @param {string} command */
function which(command) {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    try {
      return realpathSync(join(folder, command))
    } catch {}
  }
  throw new Error(`${command} is not on the PATH`)
}

/**
 * @param {string} command @param {string[]} args
 * @param {{ code?: number, env?: Record<string, string> }} [expected]
 * @returns {{ stdout: string, stderr: string }}
 */
function run(command, args, { code = 0, env = {} } = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: project,
    env: { ...environment, ...env },
    encoding: 'utf8',
    shell: WINDOWS && command !== process.execPath,
    timeout: 300_000,
  })
  if (status !== code) {
    throw new Error(
      `"${[command, ...args].join(' ')}" ended with ${status}, not ${code}: ${error ?? ''}\n${stdout}${stderr}`,
    )
  }
  return { stdout, stderr }
}

/** Runs JavaScript of the project. @param {string[]} args */
const node = (...args) => run(process.execPath, args)

/** Runs one of the tools. @param {string} name @param {string[]} args */
const tool = (name, ...args) => run(join(folder, 'node_modules', '.bin', name), args)

/** What each of the ways must print: the scores of the two lines. @param {string} text */
function scored(text) {
  const analyses = JSON.parse(text)
  assert.deepEqual(
    analyses.map((/** @type {any} */ { is_anomaly }) => is_anomaly),
    [false, true],
  )
}

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
      server.close(() => resolve(port))
    })
  })
}

/** @type {[string, () => void | Promise<void>][]} */
const STEPS = [
  [
    'there is no Rust on the PATH',
    () => {
      for (const command of ['cargo', 'rustc', 'cc']) {
        const { error } = spawnSync(command, ['--version'], { env: environment })
        assert.equal(/** @type {any} */ (error)?.code, 'ENOENT', `${command} is there`)
      }
    },
  ],
  [
    'npm install of the tarballs, offline',
    () => {
      run('npm', ['init', '--yes'])
      const tarballs = [NAME, platform.name].map((name) =>
        resolve(/** @type {string} */ (packages), `${name}-${VERSION}.tgz`),
      )
      run('npm', ['install', '--offline', '--no-audit', '--no-fund', ...tarballs])
      const installed = readdirSync(join(project, 'node_modules')).filter((name) => !name.startsWith('.'))
      // Two packages and nothing else, neither of which runs anything when it is installed.
      assert.deepEqual(installed.sort(), [NAME, platform.name])
      for (const name of installed) {
        const manifest = JSON.parse(readFileSync(join(project, 'node_modules', name, 'package.json'), 'utf8'))
        assert.deepEqual([manifest.scripts, manifest.dependencies], [undefined, undefined])
      }
    },
  ],
  ['require()', () => scored(node('require.cjs').stdout)],
  ['import()', () => scored(node('import.mjs').stdout)],
  [
    'npx audit-anomaly',
    () => {
      assert.equal(run('npx', [NAME, '--version']).stdout.trim(), `${NAME} ${VERSION}`)
      const lines = run('npx', [NAME, 'scan', '--output', 'json', 'app.log']).stdout
      scored(lines)
      // Its exit codes and its errors come through.
      run('npx', [NAME, 'scan', '--fail-on-anomaly', 'app.log'], { code: 10 })
      run('npx', [NAME, 'scan', '--none-such'], { code: 2 })
    },
  ],
  ['the server', server],
  ['TypeScript', () => void tool('tsc', '-p', '.')],
  ['Jest', () => void tool('jest', '--rootDir', '.', '--testMatch', '**/jest.test.cjs')],
  ['Vitest', () => void tool('vitest', 'run', 'vitest.test.mjs')],
  ['tsx', () => scored(tool('tsx', 'types.mts').stdout)],
  [
    'a bundle of esbuild, the package external',
    () => {
      tool(
        'esbuild',
        'import.mjs',
        '--bundle',
        '--platform=node',
        '--format=esm',
        `--external:${NAME}`,
        '--outfile=bundle.mjs',
      )
      scored(node('bundle.mjs').stdout)
    },
  ],
  ['publint', () => void tool('publint', 'run', join('node_modules', NAME), '--strict')],
  ['attw', () => void tool('attw', resolve(/** @type {string} */ (packages), `${NAME}-${VERSION}.tgz`), '--no-color')],
  [
    'what is said without the package of the platform',
    () => {
      rmSync(join(project, 'node_modules', platform.name), { recursive: true })
      for (const { stderr } of [
        run(process.execPath, ['require.cjs'], { code: 1 }),
        run('npx', [NAME, '--version'], { code: 1 }),
      ]) {
        assert.match(stderr, /audit-anomaly: .*(is missing|is not installed)/)
        assert.ok(stderr.split('\n').length < 25, `it is long: ${stderr}`)
      }
    },
  ],
]

async function server() {
  const port = await freePort()
  const shim = join(project, 'node_modules', NAME, 'bin', 'audit-anomaly.js')
  const child = spawn(process.execPath, [shim, 'serve', '--port', String(port)], {
    cwd: project,
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const ended = new Promise((resolve) => child.on('close', (code, signal) => resolve(signal ?? code)))
  try {
    const url = `http://127.0.0.1:${port}/analyze-log`
    const body = JSON.stringify({ log_id: 7, log_text: LINES[1] })
    for (let tries = 0; ; tries++) {
      try {
        const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
        const { log_id, is_anomaly } = await response.json()
        if (response.status !== 503) {
          assert.deepEqual([response.status, log_id, is_anomaly], [200, 7, true])
          break
        }
      } catch (error) {
        if (error instanceof assert.AssertionError || tries > 100) throw error
      }
      await sleep(100)
    }
    // The signal goes through, and the exit code of an orderly end comes back.
    child.kill('SIGTERM')
    if (!WINDOWS) assert.equal(await Promise.race([ended, sleep(20_000, 'still running')]), 0)
  } catch (error) {
    throw new Error(`${error}\n${output}`)
  } finally {
    child.kill('SIGKILL')
  }
}

async function main() {
  const ofTools = [
    'TypeScript',
    'Jest',
    'Vitest',
    'tsx',
    'a bundle of esbuild, the package external',
    'publint',
    'attw',
  ]
  const steps = STEPS.filter(([title]) => tools || !ofTools.includes(title))
  let failed = 0
  for (const [title, step] of steps) {
    const start = Date.now()
    try {
      await step()
      console.log(`ok      ${title} (${((Date.now() - start) / 1000).toFixed(1)} s)`)
    } catch (error) {
      failed++
      console.log(`FAILED  ${title}\n${/** @type {Error} */ (error).message.replace(/^/gm, '        ')}`)
    }
  }
  console.log(`${steps.length - failed} passed, ${failed} failed`)
  process.exitCode = failed === 0 ? 0 : 1
}

main().finally(() => rmSync(folder, { recursive: true, force: true }))
