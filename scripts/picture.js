#!/usr/bin/env node
/**
 * Draws docs/scan.svg, the picture in the README: what `audit-anomaly scan` writes to a terminal for the first lines of
 * examples/audit.log. Runs the program for it, built before unless AUDIT_ANOMALY_PROGRAM names one.
 *
 *     npm run picture
 */

const { execFileSync } = require('node:child_process')
const { readFileSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { buildProgram } = require('./program.js')

const ROOT = join(__dirname, '..')
const PICTURE = join(ROOT, 'docs', 'scan.svg')
const LINES = 20
const COMMAND = `head -n ${LINES} examples/audit.log | audit-anomaly scan --model bundled -`

/** Pixels of a character's cell, and around all of them. */
const [WIDTH, HEIGHT, MARGIN] = [7.5, 18, 14]
const COLUMNS = 120

/** Of the terminal: what a code of `ESC [ code m` looks like. @type {Record<string, string>} */
const STYLES = { 1: 'bold', 2: 'dim', 31: 'red', 32: 'green', 33: 'yellow' }
const SHEET = `
  rect.page { fill: #16181d }
  text { font: 12.5px ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #d7dae0; white-space: pre }
  .bold { font-weight: bold }
  .dim { fill: #7d8590 }
  .red { fill: #ff7b72 }
  .green { fill: #56c271 }
  .yellow { fill: #e3b341 }
`

/**
 * What the program writes to a terminal of 120 columns; its summary on standard error, with its times, is left out.
 *
 * @param {string} program
 */
function scan(program) {
  const log = readFileSync(join(ROOT, 'examples', 'audit.log'), 'utf8')
  // The output is a pipe here, so a terminal's form and colours are asked for.
  return execFileSync(program, ['scan', '--model', 'bundled', '--output', 'table', '-'], {
    input: `${log.split('\n').slice(0, LINES).join('\n')}\n`,
    encoding: 'utf8',
    env: { CLICOLOR_FORCE: '1', HOME: process.env.HOME },
    stdio: ['pipe', 'pipe', 'ignore'],
  })
}

/** @param {string} text */
const escaped = (text) => text.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`)

/** A line of the terminal as the pieces of equal style in it. @param {string} line */
function pieces(line) {
  let style = ''
  let column = 0
  // Each part but the first begins with the rest of a code: `31m`.
  return line.split('\u001b[').flatMap((part, index) => {
    const [, code, text] = /^(\d+)m(.*)$/.exec(part) ?? []
    if (index > 0) style = STYLES[code] ?? ''
    return ((index > 0 ? text : part).match(/█+|░+|[^█░]+/g) ?? []).map((text) => {
      const piece = { text, style, column }
      column += [...text].length
      return piece
    })
  })
}

/**
 * One piece. Each has its width in the picture, whatever the font; the blocks of bars, which fonts draw with gaps, are
 * rectangles.
 *
 * @param {ReturnType<typeof pieces>[number]} piece @param {number} row
 */
function drawn({ text, style, column }, row) {
  const [, space, core] = /** @type {string[]} */ (/^( *)(.*?) *$/.exec(text))
  if (core === '') return ''
  const number = (/** @type {number} */ value) => String(Math.round(value * 10) / 10)
  const [x, y] = [number(MARGIN + (column + space.length) * WIDTH), MARGIN + row * HEIGHT]
  const [width, kind] = [number([...core].length * WIDTH), style ? ` class="${style}"` : '']
  if (/[█░]/.test(core)) {
    const faint = core.startsWith('░') ? ' opacity="0.25"' : ''
    return `<rect${kind} x="${x}" y="${y + 3}" width="${width}" height="${HEIGHT - 6}"${faint}/>`
  }
  return `<text${kind} x="${x}" y="${y + 13}" textLength="${width}">${escaped(core)}</text>`
}

/** @param {string} output of the program */
function picture(output) {
  const lines = [`$ ${COMMAND}`, ...output.trimEnd().split('\n')]
  const rows = lines.map((line, row) =>
    pieces(line)
      .map((piece) => drawn(piece, row))
      .filter(Boolean)
      .join(''),
  )
  const [width, height] = [COLUMNS * WIDTH + 2 * MARGIN, lines.length * HEIGHT + 2 * MARGIN]
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">
<title>${escaped(COMMAND)}</title>
<style>${SHEET}</style>
<rect class="page" width="${width}" height="${height}" rx="8"/>
${rows.map((row) => `<g>${row}</g>`).join('\n')}
</svg>
`
}

module.exports = { PICTURE, LINES, picture, scan }

if (require.main === module) writeFileSync(PICTURE, picture(scan(buildProgram())))
