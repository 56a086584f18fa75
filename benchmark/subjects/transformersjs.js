/** The peer that a Node.js user would pick: @huggingface/transformers on onnxruntime-node. */

const { basename, dirname } = require('node:path')

/** @param {import('./run.js').Request} request @returns {Promise<import('./run.js').Subject>} */
async function load({ model, precision, threads }) {
  const { env, pipeline } = await import('@huggingface/transformers')
  env.allowRemoteModels = false
  env.localModelPath = dirname(model)
  const classify = await pipeline('text-classification', basename(model), {
    // q8 is onnx/model_quantized.onnx.
    dtype: precision === 'int8' ? 'q8' : 'fp32',
    session_options: { intraOpNumThreads: threads, interOpNumThreads: 1, executionMode: 'sequential' },
  })
  /** @param {any} verdict */
  const negative = ({ label, score }) => (label === 'NEGATIVE' ? score : 1 - score)
  return {
    one: async (text) => negative((await classify(text))[0]),
    list: async (texts) => /** @type {any[]} */ (await classify(texts)).map(negative),
  }
}

module.exports = { load }
