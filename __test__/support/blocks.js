/**
 * Runs the code blocks of a document as a reader does: one after the other, in one folder that is empty at first.
 *
 * - `js`: a program. With `// NAME` as its first line it is written to that file, for later blocks to use.
 * - `sh`: commands for bash. What they leave running ends with the block.
 * - `text` and `json`: what the block before it prints, to the letter or as JSON; `…` stands for anything.
 *
 * `/path/to/audit-anomaly` is this checkout, and port 5000 one that is free.
 */

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } = require('node:fs')
const { createServer } = require('node:net')
const { tmpdir } = require('node:os')
const { delimiter, dirname, join } = require('node:path')
const { ROOT, parse, read } = require('./markdown.js')

/** @typedef {import('./markdown.js').Block} Block */

const RUN = ['js', 'sh']
const PRINTED = ['text', 'json']

/** What a block needs besides Node.js and the package. @param {Block} block */
function needs({ language, code }) {
  if (language !== 'sh') return undefined
  if (/^npm /m.test(code)) return 'npm'
  return /\baudit-anomaly (serve|scan|download|check|completions|man)\b/.test(code) ? 'the program' : undefined
}

/**
 * The blocks of a document that are to be run, each with what it is to print. Throws if there is one that is neither run
 * nor exempt with a reason.
 *
 * @param {string} file
 * @param {string} [text] its content
 */
function runnable(file, text = read(file)) {
  const { blocks } = parse(text)
  /** @type {(Block & { prints?: Block })[]} */
  const found = []
  blocks.forEach((block, index) => {
    const previous = blocks[index - 1]
    if (block.exempt) return
    if (RUN.includes(block.language)) found.push({ ...block })
    else if (PRINTED.includes(block.language) && previous && !previous.exempt && RUN.includes(previous.language)) {
      found[found.length - 1].prints = block
    } else throw new Error(`${file}:${block.line}: a block of ${block.language || 'no language'} that nothing runs`)
  })
  return found
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  server.close()
  await once(server, 'close')
  return port
}

/** Whether `printed` is what a block shows. @param {Block} shown @param {string} printed */
function agrees({ language, code }, printed) {
  if (language === 'json') {
    const canonical = (/** @type {string} */ text) => JSON.stringify(JSON.parse(text))
    return canonical(code) === canonical(printed)
  }
  const escaped = code.trimEnd().replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  return new RegExp(`^${escaped.replaceAll('…', '.*')}$`).test(printed.trimEnd())
}

/** A folder of a reader's. */
class Reader {
  /** @param {{ program?: string, installed?: boolean }} [options] where the program is; whether the package is there */
  constructor({ program, installed = false } = {}) {
    this.folder = mkdtempSync(join(tmpdir(), 'reader-'))
    this.work = join(this.folder, 'work')
    mkdirSync(join(this.folder, 'bin'))
    mkdirSync(this.work)
    if (program) symlinkSync(program, join(this.folder, 'bin', 'audit-anomaly'))
    if (installed) {
      mkdirSync(join(this.work, 'node_modules'))
      symlinkSync(ROOT, join(this.work, 'node_modules', 'audit-anomaly'), 'dir')
    }
  }

  close() {
    rmSync(this.folder, { recursive: true, force: true })
  }

  /**
   * Runs a block; what it prints.
   *
   * @param {Block} block
   * @returns {Promise<string>}
   */
  async run({ language, code }) {
    if (language === 'sh') {
      const commands = code.replaceAll('/path/to/audit-anomaly', ROOT).replaceAll('5000', String(await freePort()))
      return this.spawn('bash', ['-euo', 'pipefail', '-c', commands])
    }
    const [, named] = /^\/\/ ([\w./-]+\.[cm]?js)\n/.exec(code) ?? []
    const file = join(this.work, named ?? (/^import /m.test(code) ? 'block.mjs' : 'block.js'))
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, code)
    return this.spawn(process.execPath, [file])
  }

  /** @param {string} command @param {string[]} args @returns {Promise<string>} */
  async spawn(command, args) {
    const kept = Object.entries(process.env).filter(([name]) => !/^(ANOMALY_|HF_|npm_|NODE_OPTIONS$|JEST_)/.test(name))
    const child = spawn(command, args, {
      cwd: this.work,
      env: {
        ...Object.fromEntries(kept),
        PATH: [join(this.folder, 'bin'), process.env.PATH].join(delimiter),
        ANOMALY_MODEL: 'bundled',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own, which ends as a whole.
      detached: true,
    })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (chunk) => (stdout += chunk))
    child.stderr.on('data', (chunk) => (stderr += chunk))
    const closed = once(child, 'close')
    const [code] = await once(child, 'exit')
    try {
      process.kill(-(/** @type {number} */ (child.pid)), 'SIGKILL')
    } catch {
      // Nothing was left running.
    }
    await closed
    if (code !== 0) throw new Error(`it ended with ${code}: ${stderr}`)
    return stdout
  }
}

/**
 * Runs blocks in their order, and throws at the first that fails or prints what it does not show.
 *
 * @param {Reader} reader
 * @param {string} file
 * @param {ReturnType<typeof runnable>} blocks
 */
async function runAll(reader, file, blocks) {
  for (const block of blocks) {
    const place = `${file}:${block.line}`
    const printed = await reader.run(block).catch((error) => {
      throw new Error(`${place}: ${error.message}`)
    })
    if (block.prints && !agrees(block.prints, printed)) {
      throw new Error(`${place} prints\n${printed}\nand ${file}:${block.prints.line} shows\n${block.prints.code}`)
    }
  }
}

module.exports = { Reader, needs, runAll, runnable }
