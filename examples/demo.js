/**
 * Scores examples/audit.log, or the file that is named, line by line in this process.
 *
 *     npm run demo [-- FILE]
 *
 * With the bundled model, unless ANOMALY_MODEL names another.
 */

const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { analyzeBatch, AnomalyError, load } = require('..')

process.env.ANOMALY_MODEL ||= 'bundled'

const COLOUR = process.stdout.isTTY && !process.env.NO_COLOR
/** @param {number} code @param {string} text */
const paint = (code, text) => (COLOUR ? `\u001b[${code}m${text}\u001b[0m` : text)
const [RED, YELLOW, GREEN, DIM, BOLD] = [31, 33, 32, 2, 1]

const BAR = 12
/** @param {number} score from 0 to 1 */
const bar = (score) => '█'.repeat(Math.round(score * BAR)).padEnd(BAR, '░')

/** Control characters of a log line must not reach the terminal. @param {string} text @param {number} width */
function clip(text, width) {
  const characters = [...text.replace(/\p{C}/gu, '·')]
  return characters.length <= width ? characters.join('') : `${characters.slice(0, width - 1).join('')}…`
}

async function main() {
  const file = process.argv[2] ?? join(__dirname, 'audit.log')
  const lines = readFileSync(file, 'utf8').split(/\r?\n/)
  const records = lines.flatMap((text, index) => (text ? [{ log_id: index + 1, log_text: text }] : []))

  const loadStart = performance.now()
  const { model_name: model, threshold } = await load()
  const loaded = performance.now() - loadStart
  const start = performance.now()
  const analyses = await analyzeBatch(records)
  const scored = performance.now() - start

  const width = Math.max(40, (process.stdout.columns || 120) - BAR - 28)
  console.log(paint(BOLD, `${'id'.padStart(5)}  ${'anomaly score'.padEnd(BAR + 7)}  verdict  text`))
  analyses.forEach(({ log_id: id, anomaly_score: score, is_anomaly: anomaly }, index) => {
    const colour = anomaly ? RED : score >= 0.3 ? YELLOW : GREEN
    const verdict = anomaly ? paint(RED, 'ANOMALY') : paint(DIM, 'ok     ')
    const cells = [String(id).padStart(5), `${paint(colour, bar(score))} ${score.toFixed(4)}`, verdict]
    console.log(`${cells.join('  ')}  ${clip(records[index].log_text, width)}`)
  })

  const anomalies = analyses.filter(({ is_anomaly: anomaly }) => anomaly).length
  const perLine = analyses.length ? `, ${(scored / analyses.length).toFixed(2)} ms a line` : ''
  console.log(`\n${analyses.length} lines, ${paint(BOLD, `${anomalies} anomalies`)} (score ${threshold} and up)`)
  console.log(`model ${model}, loaded in ${loaded.toFixed(0)} ms; scored in ${scored.toFixed(0)} ms${perLine}`)
}

main().catch((error) => {
  const reason = error instanceof AnomalyError ? `${error.code}: ${error.message}` : error.message
  console.error(`demo: ${reason}`)
  process.exitCode = 1
})
