#!/usr/bin/env node
/**
 * Packs what is published: a tarball of the package, and one for each platform.
 *
 *     npm run release:pack -- --artifacts FOLDER --output FOLDER [--only PLATFORM]
 *
 * `--artifacts` has a folder for each platform, named as in npm/, with the addon and the program for it. All platforms must
 * be there, or with `--only` that one. Nothing is written into the checkout: the dependencies on the platform packages
 * are in the packed copy alone, for a dependency that is not published yet breaks `npm ci`.
 */

const { execFileSync } = require('node:child_process')
const {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} = require('node:fs')
const { tmpdir } = require('node:os')
const { join, resolve } = require('node:path')
const { parseArgs } = require('node:util')
const { NAME, PLATFORMS, ROOT, VERSION } = require('./platforms.js')

/** What a package.json has for the work on the checkout. */
const OF_CHECKOUT = ['scripts', 'devDependencies', 'jest', 'napi']

/** The package.json that is published. @param {Record<string, any>} manifest */
function published(manifest) {
  const kept = Object.entries(manifest).filter(([key]) => !OF_CHECKOUT.includes(key))
  const platforms = PLATFORMS.map(({ name }) => [name, VERSION]).sort()
  return { ...Object.fromEntries(kept), optionalDependencies: Object.fromEntries(platforms) }
}

/** @param {string} folder */
const manifestOf = (folder) => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))

/** @param {string} from @param {string} to @param {string[]} files */
function copy(from, to, files) {
  for (const file of files) {
    if (!existsSync(join(from, file))) throw new Error(`${join(from, file)} is missing`)
    cpSync(join(from, file), join(to, file), { recursive: true })
  }
}

/** @param {string} folder */
function stageRoot(folder) {
  const manifest = manifestOf(ROOT)
  copy(ROOT, folder, [...manifest.files, 'README.md', 'LICENSE'])
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(published(manifest), null, 2)}\n`)
}

/** @param {import('./platforms.js').Platform} platform @param {string} folder @param {string} artifacts */
function stagePlatform(platform, folder, artifacts) {
  const skeleton = join(ROOT, 'npm', platform.folder)
  const { name, version } = manifestOf(skeleton)
  if (name !== platform.name || version !== VERSION) {
    throw new Error(`npm/${platform.folder} is ${name} ${version}; run: npm run release:platforms`)
  }
  cpSync(skeleton, folder, { recursive: true })
  copy(ROOT, folder, ['LICENSE'])
  copy(join(artifacts, platform.folder), folder, [platform.addon, platform.program])
  // What went through an archive may have lost it.
  chmodSync(join(folder, platform.program), 0o755)
}

/**
 * @typedef {{ name: string, file: string, size: number, unpackedSize: number, files: { path: string, size: number }[] }} Packed
 */

/** @param {string} folder @param {string} output @returns {Packed} */
function pack(folder, output) {
  const args = ['pack', '--json', '--silent', '--ignore-scripts', '--pack-destination', output]
  const shell = process.platform === 'win32'
  const [packed] = Object.values(JSON.parse(execFileSync('npm', args, { cwd: folder, encoding: 'utf8', shell })))
  return { ...packed, file: join(output, packed.filename) }
}

/**
 * @param {{ artifacts: string, output: string, only?: string }} options
 * @returns {Packed[]} the package itself first
 */
function packAll({ artifacts, output, only }) {
  const platforms = PLATFORMS.filter(({ folder }) => !only || folder === only)
  if (platforms.length === 0) throw new Error(`there is no platform ${only}`)
  mkdirSync(output, { recursive: true })
  const stage = mkdtempSync(join(tmpdir(), `${NAME}-pack-`))
  try {
    const root = join(stage, NAME)
    mkdirSync(root)
    stageRoot(root)
    const folders = platforms.map((platform) => {
      const folder = join(stage, platform.name)
      stagePlatform(platform, folder, artifacts)
      return folder
    })
    return [root, ...folders].map((folder) => pack(folder, output))
  } finally {
    rmSync(stage, { recursive: true, force: true })
  }
}

module.exports = { packAll, published }

if (require.main === module) {
  const options = /** @type {const} */ ({
    artifacts: { type: 'string' },
    output: { type: 'string' },
    only: { type: 'string' },
  })
  const { artifacts, output, only } = parseArgs({ options }).values
  if (!artifacts || !output) throw new Error('--artifacts FOLDER and --output FOLDER are needed')
  for (const { file, size } of packAll({ artifacts: resolve(artifacts), output: resolve(output), only })) {
    console.log(`${file} (${size} bytes)`)
  }
}
