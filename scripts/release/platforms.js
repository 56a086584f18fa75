#!/usr/bin/env node
/**
 * The packages of the platforms, of which each has the addon and the program: one for each of `napi.targets` in
 * package.json. Writes their skeletons into npm/, to be run when a target or the version changes.
 *
 *     npm run release:platforms
 */

const { spawnSync } = require('node:child_process')
const { readFileSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')

const ROOT = join(__dirname, '..', '..')
const { name: NAME, version: VERSION, napi } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))

/** @type {Record<string, [string, string]>} */
const SYSTEMS = {
  'unknown-linux-gnu': ['linux', '-gnu'],
  'unknown-linux-musl': ['linux', '-musl'],
  'apple-darwin': ['darwin', ''],
  'pc-windows-msvc': ['win32', '-msvc'],
}
/** @type {Record<string, string>} */
const PROCESSORS = { x86_64: 'x64', aarch64: 'arm64' }
/** @type {Record<string, string>} */
const WORDS = {
  linux: 'Linux',
  darwin: 'macOS',
  win32: 'Windows',
  '-gnu': ' with glibc 2.17 or newer',
  '-musl': ' with musl',
  x64: 'x86-64',
  arm64: 'ARM64',
}

/** @param {string} triple */
function platform(triple) {
  const [, processor, system] = /** @type {string[]} */ (/^([^-]+)-(.+)$/.exec(triple))
  const [os, abi] = SYSTEMS[system]
  const cpu = PROCESSORS[processor]
  const folder = `${os}-${cpu}${abi}`
  return {
    triple,
    folder,
    name: `${NAME}-${folder}`,
    os,
    cpu,
    libc: { '-gnu': 'glibc', '-musl': 'musl' }[abi],
    addon: `${NAME}.${folder}.node`,
    program: os === 'win32' ? `${NAME}.exe` : NAME,
    words: `${WORDS[os]} on ${WORDS[cpu]}${WORDS[abi] ?? ''}`,
  }
}

/** @typedef {ReturnType<typeof platform>} Platform */

/** @type {Platform[]} */
const PLATFORMS = napi.targets.map(platform)

/** The platform of this process, if there is a package for it. */
function here() {
  const { report: reporter } = /** @type {any} */ (process)
  reporter.excludeNetwork = true
  const report = reporter.getReport()
  const libc = process.platform !== 'linux' ? undefined : report.header.glibcVersionRuntime ? 'glibc' : 'musl'
  return PLATFORMS.find(({ os, cpu, ...of }) => os === process.platform && cpu === process.arch && of.libc === libc)
}

/** @param {Platform} platform */
const readme = ({ name, words, addon, program }) => `# ${name}

What the package \`${NAME}\` needs on ${words}:
its addon, \`${addon}\`, and its program, \`${program}\`.

Install \`${NAME}\`, which takes this package along where it fits.
`

function main() {
  const napi = join(ROOT, 'node_modules', '.bin', 'napi')
  const { status } = spawnSync(napi, ['create-npm-dirs'], {
    cwd: ROOT,
    stdio: 'inherit',
    shell: process.platform === 'win32',
  })
  if (status !== 0) throw new Error('napi create-npm-dirs failed')
  for (const platform of PLATFORMS) {
    const folder = join(ROOT, 'npm', platform.folder)
    const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    manifest.files = [platform.addon, platform.program]
    manifest.description = `The addon and the program of ${NAME} for ${platform.words}`
    writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
    writeFileSync(join(folder, 'README.md'), readme(platform))
  }
}

module.exports = { NAME, PLATFORMS, ROOT, VERSION, here, readme }

if (require.main === module) main()
