/**
 * Fastify plugin: the routes of the Python service inside a Fastify backend, and `fastify.anomaly` for its own use. What
 * a client no longer waits for is not computed.
 *
 *     node fastify.js        then: curl localhost:3000/analyze-log --json '{"log_id": 1, "log_text": "Failed login"}'
 */

const anomaly = require('audit-anomaly')

/** Answers of the codes that are no fault of this program. @type {Record<string, number>} */
const STATUS = {
  INVALID_INPUT: 422,
  OVERLOADED: 429,
  MODEL_NOT_FOUND: 503,
  MODEL_DOWNLOAD: 503,
  MODEL_CHECKSUM: 503,
  MODEL_INVALID: 503,
}

const RECORD = {
  type: 'object',
  required: ['log_id', 'log_text'],
  properties: { log_id: { type: 'integer' }, log_text: { type: 'string' } },
}

/** A signal that aborts when the client goes away. @param {import('fastify').FastifyReply} reply */
function whileConnected({ raw }) {
  const controller = new AbortController()
  raw.once('close', () => {
    if (!raw.writableEnded) controller.abort(new Error('the client went away'))
  })
  return controller.signal
}

/** @type {import('fastify').FastifyPluginAsync} */
async function auditAnomaly(fastify) {
  fastify.decorate('anomaly', anomaly)
  // `listen` waits for the model; a model that cannot be loaded ends the start with the reason.
  fastify.addHook('onReady', async () => {
    await anomaly.load()
  })
  fastify.get('/health', () => anomaly.health())
  fastify.post('/analyze-log', { schema: { body: RECORD } }, (request, reply) =>
    anomaly.analyzeLog(/** @type {any} */ (request.body), { signal: whileConnected(reply) }),
  )
  fastify.post('/analyze-batch', { schema: { body: { type: 'array', items: RECORD } } }, (request, reply) =>
    anomaly.analyzeBatch(/** @type {any} */ (request.body), { signal: whileConnected(reply) }),
  )
  fastify.setErrorHandler((error, _request, reply) => {
    if (!(error instanceof anomaly.AnomalyError)) throw error
    if (error.code === 'OVERLOADED') reply.header('retry-after', 1)
    reply.code(STATUS[error.code] ?? 500).send({ detail: error.message, code: error.code })
  })
}

// The decorator is for the whole backend, not for this plugin alone: what the package fastify-plugin does.
Object.assign(auditAnomaly, { [Symbol.for('skip-override')]: true })

module.exports = { auditAnomaly }

if (require.main === module) {
  const fastify = require('fastify').fastify({ logger: true })
  fastify.register(auditAnomaly)
  fastify.listen({ port: 3000 })
}
