// Reads texts as JSON strings, one a line, on stdin; prints the score of each, in order, by this project's own engine.
// usage: node training/engine_scores.js MODEL   (a model directory, or `bundled`)

process.env.ANOMALY_MODEL = process.argv[2] || 'bundled'

const path = require('node:path')
const readline = require('node:readline')
const { analyzeBatch } = require(path.join(__dirname, '..'))

const CHUNK = 200

async function main() {
  const records = []
  for await (const line of readline.createInterface({ input: process.stdin })) {
    if (line) records.push({ log_id: records.length, log_text: JSON.parse(line) })
  }
  for (let start = 0; start < records.length; start += CHUNK) {
    const results = await analyzeBatch(records.slice(start, start + CHUNK))
    process.stdout.write(results.map((result) => `${result.anomaly_score}\n`).join(''))
  }
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
