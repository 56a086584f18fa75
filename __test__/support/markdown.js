/** What the tests of the documents need to know of Markdown: code blocks, headings, links and tables. */

const { readFileSync } = require('node:fs')
const { join } = require('node:path')

const ROOT = join(__dirname, '..', '..')

/** The documents whose code blocks are run. */
const WITH_BLOCKS = [
  'README.md',
  ...['api', 'deployment', 'migrating', 'models', 'scores', 'settings', 'sizes', 'troubleshooting', 'tuning'].map(
    (name) => `docs/${name}.md`,
  ),
  'CONTRIBUTING.md',
  'SECURITY.md',
]
/** Those whose links are followed. */
const DOCUMENTS = [
  ...WITH_BLOCKS,
  'ARCHITECTURE.md',
  'CHANGELOG.md',
  ...['deploy', 'examples', 'model', 'training'].map((folder) => `${folder}/README.md`),
]

/**
 * A fenced block. `exempt` is the reason for which it is not run, from a comment right before it:
 * `<!-- not run: REASON -->`.
 *
 * @typedef {{ line: number, language: string, code: string, exempt?: string }} Block
 */

/**
 * The fenced blocks of a text, and the text without them and without code in backquotes, in as many lines.
 *
 * @param {string} text
 */
function parse(text) {
  /** @type {Block[]} */
  const blocks = []
  /** @type {Block | undefined} */
  let open
  /** @type {string | undefined} */
  let exempt
  const prose = text.split('\n').map((line, index) => {
    if (open) {
      if (line === '```') open = undefined
      else open.code += `${line}\n`
      return ''
    }
    const [, language] = /^```(\S*)$/.exec(line) ?? []
    if (language !== undefined) {
      open = { line: index + 1, language, code: '', exempt }
      blocks.push(open)
      exempt = undefined
      return ''
    }
    const [, reason] = /^<!-- not run: (.+) -->$/.exec(line) ?? []
    if (line.trim() !== '') exempt = reason
    return line
  })
  if (open) throw new Error(`the block that begins in line ${open.line} does not end`)
  return { blocks, prose: prose.join('\n') }
}

/** @param {string} file relative to the root */
const read = (file) => readFileSync(join(ROOT, file), 'utf8')

/** The anchors of a document's headings, as GitHub makes them. @param {string} text */
function anchors(text) {
  /** @type {Map<string, number>} */
  const seen = new Map()
  return parse(text)
    .prose.split('\n')
    .flatMap((line) => {
      const [, heading] = /^#{1,6} +(.+?) *$/.exec(line) ?? []
      if (!heading) return []
      const words = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
      const anchor = words.replace(/[^\p{L}\p{N} _-]/gu, '').replace(/ /g, '-')
      const count = seen.get(anchor) ?? 0
      seen.set(anchor, count + 1)
      return [count === 0 ? anchor : `${anchor}-${count}`]
    })
}

/** What a document's links and pictures point to. @param {string} text */
function links(text) {
  const prose = parse(text).prose.replace(/`[^`\n]*`/g, (code) => 'x'.repeat(code.length))
  return [...prose.matchAll(/\]\(([^()\s]+)\)|(?:src|href)="([^"]+)"/g)].map(([, link, html]) => link ?? html)
}

/** The rows of all tables, a list of cells each, without backquotes. @param {string} text */
function rows(text) {
  return parse(text)
    .prose.split('\n')
    .filter((line) => /^\|.*\|$/.test(line) && !/^\|[ :|-]+\|$/.test(line))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    )
}

module.exports = { DOCUMENTS, ROOT, WITH_BLOCKS, anchors, links, parse, read, rows }
