const { EventEmitter, once } = require('node:events')
const { AnomalyError, stats } = require('audit-anomaly')
const { auditAnomaly, createApp } = require('../express.js')

/** @param {Partial<import('../express.js').Options>} [options] */
async function serve(options) {
  const app = createApp({ onAnalysis: jest.fn(), onError: jest.fn(), ...options })
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() }
}

test('what a route writes is scored after the answer', async () => {
  const analyses = []
  let all = () => {}
  const scored = new Promise((resolve) => (all = resolve))
  const { url, close } = await serve({
    onAnalysis: (analysis, text) => {
      analyses.push({ ...analysis, text })
      if (analyses.length === 2) all()
    },
  })
  const answers = [
    await fetch(`${url}/orders/7/approve`, { method: 'POST' }),
    await fetch(`${url}/orders/8/reject`, { method: 'POST' }),
  ]
  expect(answers.map(({ status }) => status)).toEqual([204, 204])
  await scored
  analyses.sort((a, b) => a.log_id - b.log_id)
  expect(analyses).toMatchObject([
    { log_id: 1, is_anomaly: false, text: 'Order 7 approved' },
    { log_id: 2, is_anomaly: true, text: 'Order 8 rejected by manager' },
  ])
  expect(await (await fetch(`${url}/health`)).json()).toMatchObject({ status: 'healthy', threshold: 0.7 })
  close()
})

test('a route that writes nothing asks for nothing', async () => {
  const { url, close } = await serve()
  const { requests } = stats()
  expect((await fetch(`${url}/health`)).status).toBe(200)
  await new Promise(setImmediate)
  expect(stats().requests).toBe(requests)
  close()
})

test('a line that cannot be scored is told of, and the request goes on', async () => {
  const text = 'x'.repeat(70_000)
  const next = jest.fn()
  const failure = new Promise((resolve) => {
    const handler = auditAnomaly({ onAnalysis: jest.fn(), onError: (error, texts) => resolve({ error, texts }) })
    const [request, response] = [{}, new EventEmitter()]
    handler(request, response, next)
    request.audit(text)
    response.emit('close')
  })
  const { error, texts } = await failure
  expect(next).toHaveBeenCalledTimes(1)
  expect(error).toBeInstanceOf(AnomalyError)
  expect([error.code, texts]).toEqual(['INVALID_INPUT', [text]])
})
