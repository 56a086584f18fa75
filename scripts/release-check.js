#!/usr/bin/env node
/**
 * Checks on this machine what a release would publish: builds the addon and the program, packs the package and that of
 * this platform, compares the sizes with docs/sizes.md, and has scripts/release/project.js use the tarballs in an empty
 * project, without a network where the system can cut it off.
 *
 *     npm run release:check
 *     npm run release:check -- --write     writes the sizes into docs/sizes.md instead
 */

const { execFileSync, spawnSync } = require('node:child_process')
const {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { packAll } = require('./release/pack.js')
const { NAME, ROOT, here } = require('./release/platforms.js')

const TOOLS = join(__dirname, 'release')
const PAGE = join(ROOT, 'docs', 'sizes.md')
/** Another compiler makes other code of the same source, by some percent. */
const TOLERANCE = 0.05
const PROGRAM = ['--no-default-features', '--features', 'server']

/** @param {string} command @param {string[]} args @param {string} [cwd] */
function run(command, args, cwd = ROOT) {
  const { status, error } = spawnSync(command, args, { cwd, stdio: ['ignore', 2, 2] })
  if (status !== 0) throw new Error(`"${command} ${args.join(' ')}" failed${error ? `: ${error.message}` : ''}`)
}

/** @param {string} title */
const section = (title) => console.error(`\n> ${title}`)

/** Builds both, into a folder for this platform. @param {string} artifacts */
function build(artifacts) {
  const platform = here()
  if (!platform) throw new Error(`there is no package for ${process.platform}-${process.arch}`)
  run('npm', ['run', '--silent', 'build'])
  const args = ['build', '--release', ...PROGRAM, '--bin', NAME, '--message-format', 'json']
  const messages = execFileSync('cargo', args, {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 2],
    maxBuffer: 1 << 28,
  })
  const { executable } = messages
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .find(({ executable }) => executable)
  const folder = join(artifacts, platform.folder)
  mkdirSync(folder)
  copyFileSync(join(ROOT, platform.addon), join(folder, platform.addon))
  copyFileSync(executable, join(folder, platform.program))
  return platform
}

/** How many crates are compiled into it, or compile it. @param {string[]} features */
function crates(features) {
  const args = ['tree', '--locked', '--edges', 'normal,build', '--prefix', 'none', '--format', '{p}', ...features]
  const lines = execFileSync('cargo', args, { cwd: ROOT, encoding: 'utf8' }).trim().split('\n')
  return new Set(lines.map((line) => line.replace(/ \(.*/, ''))).size - 1
}

/**
 * @param {import('./release/platforms.js').Platform} platform
 * @param {ReturnType<typeof packAll>} packed
 * @returns {Record<string, number[]>} the rows of docs/sizes.md: bytes, or a number of crates
 */
function measure(platform, [root, ofPlatform]) {
  const size = (/** @type {string} */ name) => ofPlatform.files.find(({ path }) => path === name)?.size ?? 0
  return {
    [root.name]: [root.size, root.unpackedSize],
    [ofPlatform.name]: [ofPlatform.size, ofPlatform.unpackedSize],
    'the addon': [size(platform.addon)],
    'the program': [size(platform.program)],
    'crates of the addon': [crates([])],
    'crates of the program': [crates(PROGRAM)],
  }
}

/** @param {number} value bytes, or a number of crates */
function shown(value) {
  if (value < 1000) return String(value)
  return value < 1e6 ? `${Math.round(value / 1e3)} kB` : `${(value / 1e6).toFixed(1)} MB`
}

/** What a cell of the table says, as a number. @param {string} cell */
function said(cell) {
  const [, number, unit] = /^([\d.]+)(?: (kB|MB))?$/.exec(cell) ?? []
  return Number(number) * ({ kB: 1e3, MB: 1e6 }[unit] ?? 1)
}

/** The cells of a row after its first. @param {string} page @param {string} name */
const row = (page, name) =>
  page
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim().replaceAll('`', '')))
    .find(([, first]) => first === name)
    ?.slice(2, -1)

/**
 * What a page says that was measured otherwise.
 *
 * @param {string} page @param {Record<string, number[]>} measured
 */
function differences(page, measured) {
  return Object.entries(measured).flatMap(([name, values]) => {
    const cells = row(page, name)
    if (!cells) return [`${name} is not in the tables`]
    const off = values.some(
      (value, index) => !(Math.abs(said(cells[cells.length - values.length + index]) / value - 1) <= TOLERANCE),
    )
    return off
      ? [`${name} is said to have ${cells.filter(Boolean).join(', ')}, and has ${values.map(shown).join(', ')}`]
      : []
  })
}

/** @param {string} page @param {Record<string, number[]>} measured */
function corrected(page, measured) {
  return page
    .split('\n')
    .map((line) => {
      const cells = line.split('|')
      const values = measured[cells[1]?.trim().replaceAll('`', '')]
      if (!values) return line
      const first = cells.length - 1 - values.length
      return cells
        .map((cell, index) =>
          values[index - first] === undefined ? cell : ` ${shown(values[index - first])} `.padStart(cell.length),
        )
        .join('|')
    })
    .join('\n')
}

function installTools() {
  const installed = join(TOOLS, 'node_modules', '.package-lock.json')
  const lock = join(TOOLS, 'package-lock.json')
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return
  run('npm', ['install', '--no-save', '--ignore-scripts', '--no-fund', '--no-audit', '--silent'], TOOLS)
}

/** A command that runs what follows it without a network but that of this host, where the system has one. */
function withoutNetwork() {
  const command = ['unshare', '--map-root-user', '--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh']
  const cuts = spawnSync(command[0], [...command.slice(1), process.execPath, '--version']).status === 0
  if (!cuts) console.error('the network cannot be cut off here; npm is told to be offline')
  return cuts ? command : []
}

function main() {
  const folder = mkdtempSync(join(tmpdir(), `${NAME}-release-`))
  try {
    section('building the addon and the program')
    const [artifacts, output] = [join(folder, 'artifacts'), join(folder, 'packages')]
    mkdirSync(artifacts)
    const platform = build(artifacts)
    section('packing')
    const packed = packAll({ artifacts, output, only: platform.folder })
    const measured = measure(platform, packed)
    const page = readFileSync(PAGE, 'utf8')
    if (process.argv.includes('--write')) return writeFileSync(PAGE, corrected(page, measured))
    for (const [name, values] of Object.entries(measured)) console.error(`${name}: ${values.map(shown).join(', ')}`)
    // The page has the sizes of one platform.
    const wrong = row(page, platform.name) ? differences(page, measured) : []
    if (wrong.length > 0)
      throw new Error(`docs/sizes.md:\n${wrong.join('\n')}\nCorrect it with: npm run release:check -- --write`)
    section('installing the tools of the check')
    installTools()
    section('using the packages in an empty project')
    const [command, ...args] = [...withoutNetwork(), process.execPath]
    run(command, [...args, join(TOOLS, 'project.js'), '--packages', output, '--tools', TOOLS])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

module.exports = { corrected, differences, said, shown }

if (require.main === module) {
  try {
    main()
  } catch (error) {
    console.error(/** @type {Error} */ (error).message)
    process.exitCode = 1
  }
}
