/**
 * Scores a log file of any size line by line, in constant memory, and prints the lines that are flagged, one JSON object
 * each. Files that end in .gz are read as gzip.
 *
 *     node stream.js app.log.1.gz > anomalies.ndjson
 */

const { createReadStream } = require('node:fs')
const { createInterface } = require('node:readline')
const { pipeline } = require('node:stream')
const { createGunzip } = require('node:zlib')
const { analyzeStream } = require('audit-anomaly')

/**
 * The lines of a file that have text, with their numbers. What is wrong with the file is thrown where it is read.
 *
 * @param {string} file
 * @returns {AsyncGenerator<{ log_id: number, log_text: string }>}
 */
async function* linesOf(file) {
  const input = createReadStream(file)
  // An error of either stream comes out of the loop below.
  const bytes = file.endsWith('.gz') ? pipeline(input, createGunzip(), () => {}) : input
  let log_id = 0
  for await (const log_text of createInterface({ input: bytes, crlfDelay: Infinity })) {
    log_id++
    if (log_text) yield { log_id, log_text }
  }
}

/**
 * @param {string} file
 * @param {import('audit-anomaly').AnalyzeOptions} [options]
 */
async function* anomaliesIn(file, options) {
  /** @type {string[]} texts whose analysis is still to come, oldest first: analyses come in the order of the records */
  const texts = []
  async function* records() {
    for await (const record of linesOf(file)) {
      texts.push(record.log_text)
      yield record
    }
  }
  for await (const analysis of analyzeStream(records(), options)) {
    const log_text = texts.shift()
    if (analysis.is_anomaly) yield { ...analysis, log_text }
  }
}

async function main() {
  const [file] = process.argv.slice(2)
  if (!file) throw new Error('which file? node stream.js FILE')
  for await (const anomaly of anomaliesIn(file)) console.log(JSON.stringify(anomaly))
}

module.exports = { anomaliesIn, linesOf }

if (require.main === module) {
  main().catch((error) => {
    console.error(error.message)
    process.exitCode = 1
  })
}
