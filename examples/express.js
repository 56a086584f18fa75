/**
 * Express middleware: routes write audit lines, which are scored together once the answer is on its way, so that no
 * client waits for a score.
 *
 *     node express.js        then: curl -X POST localhost:3000/orders/7/reject
 */

const { analyzeBatch, health, load } = require('audit-anomaly')

/**
 * @typedef {object} Options
 * @property {(analysis: import('audit-anomaly').Analysis, text: string) => void} onAnalysis told about every line
 * @property {(error: Error, texts: string[]) => void} onError told about lines that have no score, such as those that
 *   came while too much waited already (`error.code === 'OVERLOADED'`)
 */

/**
 * Gives each request an `audit(text)` that writes a line.
 *
 * @param {Options} options
 * @returns {import('express').RequestHandler}
 */
function auditAnomaly({ onAnalysis, onError }) {
  let lines = 0
  return (request, response, next) => {
    /** @type {import('audit-anomaly').LogRecord[]} */
    const records = []
    Object.assign(request, {
      audit: (/** @type {string} */ text) => records.push({ log_id: ++lines, log_text: text }),
    })
    // Not 'finish': a client that goes away early leaves lines behind as well.
    response.once('close', () => {
      if (records.length === 0) return
      analyzeBatch(records).then(
        (analyses) => {
          for (const [index, analysis] of analyses.entries()) onAnalysis(analysis, records[index].log_text)
        },
        (error) =>
          onError(
            error,
            records.map(({ log_text }) => log_text),
          ),
      )
    })
    next()
  }
}

/**
 * A backend that uses it.
 *
 * @param {Options} options
 */
function createApp(options) {
  const express = require('express')
  const app = express()
  app.use(auditAnomaly(options))
  app.get('/health', (_request, response) => {
    const state = health()
    response.status(state.status === 'unhealthy' ? 503 : 200).json(state)
  })
  app.post('/orders/:id/:decision', (/** @type {any} */ request, response) => {
    const { id, decision } = request.params
    request.audit(decision === 'approve' ? `Order ${id} approved` : `Order ${id} rejected by manager`)
    response.sendStatus(204)
  })
  return app
}

module.exports = { auditAnomaly, createApp }

if (require.main === module) {
  const app = createApp({
    onAnalysis: ({ log_id, anomaly_score, is_anomaly }, text) =>
      console.log(`${is_anomaly ? 'ANOMALY' : 'ok'} ${anomaly_score} line ${log_id}: ${text}`),
    onError: (error) => console.error('not scored:', error),
  })
  // The model first: the first request does not wait for it then.
  load().then(() => app.listen(3000, () => console.log('listening on port 3000')))
}
