const { fastify } = require('fastify')
const anomaly = require('audit-anomaly')
const { auditAnomaly } = require('../fastify.js')

/** @type {import('fastify').FastifyInstance} */
let app
/** @type {string} */
let url

beforeAll(async () => {
  // Else its end waits for connections that the client keeps open.
  app = fastify({ forceCloseConnections: true })
  app.register(auditAnomaly)
  // The queue of this process is as large as its first call had it, so a refusal is thrown here.
  app.get('/busy', () => {
    throw Object.assign(Object.create(anomaly.AnomalyError.prototype), { code: 'OVERLOADED', message: 'full' })
  })
  // Over a socket: what comes with `app.inject` does not load in Jest on every Node.js.
  url = await app.listen({ port: 0, host: '127.0.0.1' })
})
afterAll(() => app.close())

/** @param {string} path @param {unknown} [body] @param {AbortSignal} [signal] */
async function ask(path, body, signal) {
  const headers = { 'content-type': 'application/json' }
  const sent = body === undefined ? {} : { method: 'POST', headers, body: JSON.stringify(body) }
  const answer = await fetch(url + path, { ...sent, signal })
  return { status: answer.status, headers: answer.headers, json: await answer.json() }
}

test('the model is loaded once the backend listens, and the backend can use the calls', async () => {
  expect((await ask('/health')).json).toEqual({
    status: 'healthy',
    model_loaded: true,
    model_name: 'audit-anomaly-small',
    threshold: 0.7,
  })
  expect(await app.anomaly.analyzeLog({ log_id: 'a', log_text: 'Order approved' })).toMatchObject({ log_id: 'a' })
})

test('the routes answer as the Python service does', async () => {
  const records = [
    { log_id: 1, log_text: 'User logged in successfully' },
    { log_id: 2, log_text: 'Failed login attempt' },
  ]
  expect((await ask('/analyze-log', records[1])).json).toEqual(await anomaly.analyzeLog(records[1]))
  const { status, json } = await ask('/analyze-batch', records)
  expect(status).toBe(200)
  expect(json).toEqual(await anomaly.analyzeBatch(records))
  expect(json.map(({ is_anomaly }) => is_anomaly)).toEqual([false, true])
})

test('what is wrong is refused with its code', async () => {
  expect((await ask('/analyze-log', { log_id: 1 })).status).toBe(400)
  const long = await ask('/analyze-log', { log_id: 1, log_text: 'x'.repeat(70_000) })
  expect(long.status).toBe(422)
  expect(long.json).toEqual({ detail: expect.stringContaining('ANOMALY_MAX_TEXT_BYTES'), code: 'INVALID_INPUT' })
  const busy = await ask('/busy')
  expect([busy.status, busy.headers.get('retry-after'), busy.json.code]).toEqual([429, '1', 'OVERLOADED'])
  expect((await ask('/nowhere')).status).toBe(404)
})

test('what a client no longer waits for leaves the queue', async () => {
  const records = Array.from({ length: 5000 }, (_, log_id) => ({
    log_id,
    log_text: `Report ${log_id} of the year ${log_id * 7} was opened by user ${log_id % 13} from the office`,
  }))
  const controller = new AbortController()
  const request = ask('/analyze-batch', records, controller.signal)
  const { batches } = anomaly.stats()
  while (anomaly.stats().batches === batches) await new Promise((resolve) => setTimeout(resolve, 2))
  controller.abort()
  await expect(request).rejects.toThrow()
  const deadline = Date.now() + 10_000
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
  while (anomaly.stats().queue_depth > 0 && Date.now() < deadline) await sleep(5)
  // The batch that is computed at that moment ends.
  await sleep(500)
  const { tokens } = anomaly.stats()
  await sleep(500)
  expect(anomaly.stats()).toMatchObject({ tokens, queue_depth: 0 })
  expect(tokens).toBeLessThan(5000)
})
