const { analyzeBatch } = require('audit-anomaly')
const { readFileSync } = require('node:fs')

const lines = readFileSync('app.log', 'utf8').trim().split('\n')
analyzeBatch(lines.map((log_text, log_id) => ({ log_id, log_text }))).then((analyses) =>
  console.log(JSON.stringify(analyses)),
)
