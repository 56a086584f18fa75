/** The product, through its public face. */

/** @param {import('./run.js').Request} request @returns {Promise<import('./run.js').Subject>} */
async function load({ model, precision, threads }) {
  Object.assign(process.env, {
    ANOMALY_MODEL: model,
    ANOMALY_PRECISION: precision,
    ANOMALY_THREADS: threads,
    // A text that comes again is to be computed again.
    ANOMALY_CACHE_SIZE: 0,
  })
  const product = require('../..')
  await product.load()
  return {
    one: async (text) => (await product.analyzeLog({ log_id: 0, log_text: text })).anomaly_score,
    list: async (texts) => {
      const analyses = await product.analyzeBatch(texts.map((text, index) => ({ log_id: index, log_text: text })))
      return analyses.map((analysis) => analysis.anomaly_score)
    },
  }
}

module.exports = { load }
