/** What is published: its parts name each other rightly, and bin/audit-anomaly.js runs the program. */

const { execFileSync, spawn, spawnSync } = require('node:child_process')
const { once } = require('node:events')
const {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { cleanEnvironment, ROOT } = require('./support/child.js')
const { published } = require('../scripts/release/pack.js')
const { PLATFORMS, here, readme } = require('../scripts/release/platforms.js')

const manifest = (folder = '.') => JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8'))
const read = (file) => readFileSync(join(ROOT, file), 'utf8')

describe('the packages', () => {
  test('of the platforms are those of npm/', () => {
    expect(readdirSync(join(ROOT, 'npm')).sort()).toEqual(PLATFORMS.map(({ folder }) => folder).sort())
    expect(here()).toBeDefined()
  })

  test.each(PLATFORMS)('$name is as package.json has it', (platform) => {
    const { folder, name, os, cpu, libc, addon, program } = platform
    const { version, engines, license, repository, bugs, homepage } = manifest()
    expect(manifest(`npm/${folder}`)).toMatchObject({ name, version, engines, license, repository, bugs, homepage })
    expect(manifest(`npm/${folder}`)).toMatchObject({ os: [os], cpu: [cpu], main: addon, files: [addon, program] })
    expect(manifest(`npm/${folder}`).libc).toEqual(libc && [libc])
    expect(read(`npm/${folder}/README.md`)).toBe(readme(platform))
    // That is where the loader that `napi build` writes looks for it.
    expect(read('binding.js')).toContain(`require('${name}')`)
  })

  test('have the version of the crate', () => {
    expect(/^version = "(.+)"$/m.exec(read('Cargo.toml'))?.[1]).toBe(manifest().version)
  })

  test('have no dependencies until they are packed, and then those on the platforms alone', () => {
    expect(manifest()).not.toHaveProperty('dependencies')
    expect(manifest()).not.toHaveProperty('optionalDependencies')
    const packed = published(manifest())
    expect(packed.optionalDependencies).toEqual(
      Object.fromEntries(PLATFORMS.map(({ name }) => [name, manifest().version])),
    )
    for (const key of ['scripts', 'dependencies', 'devDependencies']) expect(packed).not.toHaveProperty(key)
    expect(Object.keys(manifest().scripts)).toContain('install')
  })

  test('cannot be published from the checkout', () => {
    const { status, stderr } = spawnSync(process.execPath, [join(ROOT, 'scripts', 'release', 'refuse.js')])
    expect([status, String(stderr)]).toEqual([1, expect.stringContaining('release:pack')])
    expect(manifest().scripts.prepublishOnly).toBe('node scripts/release/refuse.js')
  })
})

// Electron refuses memory that is not of V8's own, as a Buffer or ArrayBuffer over Rust's would be.
test('the addon hands out no memory of its own', () => {
  const source = readdirSync(join(ROOT, 'src', 'node'))
    .map((file) => read(`src/node/${file}`))
    .join('\n')
  expect(source).toContain('#[napi')
  expect(source).not.toMatch(
    /Buffer|\bExternal\b|\b(Uint|Int|Float|BigInt|BigUint)\d+(Clamped)?(Array|Slice)\b|TypedArray/,
  )
})

/** A folder with a copy of what the package has, and without all else. */
let folder
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'audit-anomaly-package-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** @param {string[]} files */
function install(files) {
  const installed = join(folder, 'node_modules', 'audit-anomaly')
  for (const file of files) cpSync(join(ROOT, file), join(installed, file))
  return installed
}

describe('require() without the addon', () => {
  test.each([
    ['in a checkout', ['Cargo.toml'], 'is missing', /^Build it with: npm --prefix ".*audit-anomaly" run setup$/m],
    ['elsewhere', [], 'is missing', /^It comes in a package of its own/m],
  ])('%s is short, and says what to do', (_, files, what, todo) => {
    const installed = install(['index.js', 'stream.js', 'binding.js', ...files])
    const { stderr } = spawnSync(process.execPath, ['-e', `require(${JSON.stringify(installed)})`], {
      encoding: 'utf8',
    })
    expect(stderr).toMatch(`audit-anomaly: the addon for ${process.platform}-${process.arch} ${what}\n`)
    expect(stderr).toMatch(todo)
    expect(stderr).not.toContain('cause')
    expect(stderr.split('\n').length).toBeLessThan(25)
  })

  test('that does not load says why', () => {
    const installed = install(['index.js', 'stream.js', 'binding.js'])
    writeFileSync(join(installed, here().addon), 'this is no library')
    const { stderr } = spawnSync(process.execPath, ['-e', `require(${JSON.stringify(installed)})`], {
      encoding: 'utf8',
    })
    expect(stderr).toMatch(/cannot be loaded: .*\.node/)
    expect(stderr).not.toContain('is missing')
  })
})

describe('bin/audit-anomaly.js', () => {
  const bin = () => join(folder, 'node_modules', 'audit-anomaly', 'bin', 'audit-anomaly.js')

  /** A program in the platform's package, written in shell. @param {string} body */
  function program(body, file = join(folder, 'node_modules', here().name, here().program)) {
    mkdirSync(join(file, '..'), { recursive: true })
    writeFileSync(join(folder, 'node_modules', here().name, 'package.json'), '{}')
    writeFileSync(file, `#!/bin/sh\n${body}\n`)
    chmodSync(file, 0o755)
  }
  const { CARGO_TARGET_DIR: _, AUDIT_ANOMALY_PROGRAM: __, ...env } = cleanEnvironment()
  const run = (args = [], options = {}) =>
    spawnSync(process.execPath, [bin(), ...args], { encoding: 'utf8', env, ...options })

  beforeEach(() => {
    install(['bin/audit-anomaly.js', 'package.json'])
    mkdirSync(join(folder, 'node_modules', here().name))
  })

  test('passes arguments, streams and the exit code through', () => {
    program('printf "<%s>" "$@"; cat; echo oops >&2; exit 10')
    const { status, stdout, stderr } = run(['scan', 'a b', '--x=*'], { input: 'lines' })
    expect([status, stdout, stderr]).toEqual([10, '<scan><a b><--x=*>lines', 'oops\n'])
  })

  test.each(['SIGTERM', 'SIGINT', 'SIGHUP'])('passes %s through, and waits for the end', async (signal) => {
    program(`trap 'echo ${signal}; exit 7' TERM INT HUP; echo ready; for i in $(seq 200); do sleep 0.05; done`)
    const child = spawn(process.execPath, [bin()], { env, stdio: ['ignore', 'pipe', 'pipe'] })
    const ended = once(child, 'close')
    let output = ''
    child.stdout.on('data', (chunk) => {
      if (output === '') child.kill(signal)
      output += chunk
    })
    expect(await ended).toEqual([7, null])
    expect(output).toBe(`ready\n${signal}\n`)
  })

  test('ends by the signal that ended the program', () => {
    program('kill -TERM $$')
    expect(run()).toMatchObject({ status: null, signal: 'SIGTERM' })
  })

  test('takes the program that AUDIT_ANOMALY_PROGRAM names first', () => {
    program('echo packaged')
    const other = join(folder, 'other')
    program('echo named', other)
    expect(run().stdout).toBe('packaged\n')
    expect(run([], { env: { ...env, AUDIT_ANOMALY_PROGRAM: other } }).stdout).toBe('named\n')
  })

  test('takes the newest program that was built in a checkout', () => {
    const root = install(['Cargo.toml'])
    program('echo packaged')
    program('echo old', join(root, 'target', 'release', here().program))
    execFileSync('touch', ['-d', '2020-01-01', join(root, 'target', 'release', here().program)])
    program('echo new', join(root, 'target', 'some-triple', 'release', here().program))
    expect(run().stdout).toBe('new\n')
    rmSync(join(root, 'target'), { recursive: true })
    expect(run().stdout).toBe('packaged\n')
  })

  test('says what to do where there is no program', () => {
    const { status, stderr } = run()
    expect([status, stderr]).toEqual([
      1,
      expect.stringContaining(`in the package ${here().name}, which is not installed`),
    ])
    install(['Cargo.toml'])
    expect(run()).toMatchObject({ status: 1, stderr: expect.stringMatching(/^audit-anomaly: .* run build:program\n$/) })
  })
})
