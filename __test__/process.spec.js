const { createServer } = require('node:net')
const { cpSync, mkdtempSync, rmSync, truncateSync, writeFileSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { run, TINY } = require('./support/child.js')

/** @type {string} */
let folder
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'audit-anomaly-process-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** The settings of a load that waits for an answer that never comes. */
async function waiting() {
  const silent = createServer(() => {})
  await new Promise((resolve) => silent.listen(0, '127.0.0.1', resolve))
  const env = {
    HF_ENDPOINT: `http://127.0.0.1:${silent.address().port}`,
    HF_HOME: folder,
    ANOMALY_MODEL: 'acme/silent',
  }
  return { env, close: () => silent.close() }
}

describe('loading', () => {
  test('is shared by concurrent first callers', async () => {
    const { values } = await run(
      `const records = Array.from({ length: 50 }, (_, log_id) => ({ log_id, log_text: 'line ' + log_id }))
       const [all, healths] = await Promise.all([
         Promise.all(records.map((record) => api.analyzeLog(record))),
         Promise.all([api.load(), api.load()]),
       ])
       out(all.map(({ log_id }) => log_id)); out(healths.map(({ status }) => status))`,
      { ANOMALY_MODEL: TINY },
    )
    expect(values[0]).toEqual(Array.from({ length: 50 }, (_, index) => index))
    expect(values[1]).toEqual(['healthy', 'healthy'])
  })

  test('holds no thread of libuv while callers wait', async () => {
    const { env, close } = await waiting()
    const { values } = await run(
      `for (let i = 0; i < 100; i++) api.analyzeLog({ log_id: i, log_text: 'x' }).catch(() => {})
       await new Promise((resolve) => setTimeout(resolve, 100))
       const start = Date.now()
       await require('fs/promises').readFile(process.execPath)
       await require('util').promisify(require('crypto').randomBytes)(16)
       out(Date.now() - start)
       process.exit(0)`,
      { ...env, UV_THREADPOOL_SIZE: '1' },
    )
    close()
    expect(values[0]).toBeLessThan(2_000)
  })

  test('that failed can be tried again, and health() says so meanwhile', async () => {
    const model = join(folder, 'model')
    cpSync(TINY, model, { recursive: true })
    truncateSync(join(model, 'model.safetensors'), 1000)
    const { values } = await run(
      `out(await failure(api.analyzeLog({ log_id: 1, log_text: 'x' }))); out(api.health())
       out(await Promise.all([failure(api.load()), failure(api.load())]))
       require('fs').copyFileSync(${JSON.stringify(join(TINY, 'model.safetensors'))}, process.env.ANOMALY_MODEL + '/model.safetensors')
       out(await api.load())`,
      { ANOMALY_MODEL: model },
    )
    expect(values[0]).toMatchObject({ code: 'MODEL_INVALID', isError: true, isAnomalyError: true })
    expect(values[0].message).toContain('model.safetensors')
    expect(values[1]).toMatchObject({ status: 'unhealthy', model_loaded: false, model_name: 'model' })
    expect(values[2].map(({ code }) => code)).toEqual(['MODEL_INVALID', 'MODEL_INVALID'])
    expect(values[3]).toMatchObject({ status: 'healthy', model_loaded: true })
  })

  test('names what is wrong with a model, and each failure leaves the next good call working', async () => {
    const copies = {
      missing: { code: 'MODEL_NOT_FOUND', part: 'does not exist' },
      empty: { code: 'MODEL_NOT_FOUND', part: 'config.json' },
      labels: { code: 'MODEL_INVALID', part: 'ANOMALY_LABELS' },
      json: { code: 'MODEL_INVALID', part: 'config.json' },
      architecture: { code: 'MODEL_INVALID', part: 'model_type' },
    }
    for (const name of ['empty', 'labels', 'json', 'architecture']) {
      cpSync(TINY, join(folder, name), { recursive: true, filter: (from) => name !== 'empty' || from === TINY })
    }
    const config = JSON.stringify(require(join(TINY, 'config.json')))
    writeFileSync(join(folder, 'labels', 'config.json'), config.replace('NEGATIVE', 'SAD'))
    writeFileSync(join(folder, 'json', 'config.json'), config.slice(1))
    writeFileSync(join(folder, 'architecture', 'config.json'), config.replace('"distilbert"', '"gpt2"'))
    const { values } = await run(
      `for (const name of ${JSON.stringify(Object.keys(copies))}) {
         process.env.ANOMALY_MODEL = ${JSON.stringify(folder)} + '/' + name
         out(await failure(api.analyzeLog({ log_id: 1, log_text: 'x' })))
       }
       process.env.ANOMALY_MODEL = ${JSON.stringify(TINY)}
       out(await api.analyzeLog({ log_id: 1, log_text: 'x' }))`,
    )
    Object.values(copies).forEach(({ code, part }, index) => {
      expect(values[index]).toMatchObject({ code, message: expect.stringContaining(part) })
    })
    expect(values.at(-1)).toMatchObject({ log_id: 1, model_name: 'tiny' })
  })
})

describe('settings', () => {
  test('that make no sense reject the call, and health() says unhealthy until they do', async () => {
    const { values } = await run(
      `out(await failure(api.load())); out(await failure(api.analyzeBatch([]))); out(api.health())
       process.env.ANOMALY_THRESHOLD = '0.4'
       out(await api.load())`,
      { ANOMALY_MODEL: TINY, ANOMALY_THRESHOLD: 'high' },
    )
    expect(values[0]).toMatchObject({ code: 'INVALID_CONFIG', isAnomalyError: true })
    expect(values[0].message).toBe('ANOMALY_THRESHOLD=high is not allowed: it must be a number from 0 to 1')
    expect(values[1].code).toBe('INVALID_CONFIG')
    expect(values[2]).toMatchObject({ status: 'unhealthy', model_loaded: false })
    expect(values[3]).toMatchObject({ status: 'healthy', threshold: 0.4 })
  })

  test('of the threshold and the text length are heeded', async () => {
    const { values } = await run(
      `out((await api.analyzeLog({ log_id: 1, log_text: 'x' })).is_anomaly)
       out(await failure(api.analyzeLog({ log_id: 1, log_text: '12345678901' })))`,
      { ANOMALY_MODEL: TINY, ANOMALY_THRESHOLD: '0', ANOMALY_MAX_TEXT_BYTES: '10', ANOMALY_THREADS: '1' },
    )
    expect(values[0]).toBe(true)
    expect(values[1].message).toContain('ANOMALY_MAX_TEXT_BYTES, 10 bytes')
  })

  test('of another model in the same process are refused, so that names never mix', async () => {
    const { values } = await run(
      `const { Worker } = require('worker_threads')
       await api.load()
       const worker = new Worker(
         "const { analyzeLog, load } = require(" + ${JSON.stringify(JSON.stringify(require.resolve('..')))} + "); " +
         "const tell = ({ code, message }) => require('worker_threads').parentPort.postMessage({ code, message });" +
         "load().catch(tell).then(() => analyzeLog({ log_id: 1, log_text: 'x' })).catch(tell)",
         { eval: true, env: { ...process.env, ANOMALY_MODEL: 'bundled' } })
       worker.on('message', out)
       await new Promise((resolve) => worker.on('exit', resolve))
       out(api.health().model_name)`,
      { ANOMALY_MODEL: TINY },
    )
    const refused = { code: 'INVALID_CONFIG', message: expect.stringContaining('another process') }
    expect(values).toEqual([refused, refused, 'tiny'])
  })
})

describe('the process', () => {
  test('exits within a second while a load is under way', async () => {
    const { env, close } = await waiting()
    const { code, values } = await run(
      `api.load().catch(() => {}); api.analyzeLog({ log_id: 1, log_text: 'x' }).catch(() => {})
       await new Promise((resolve) => setTimeout(resolve, 300))
       out(Date.now())
       process.exit(7)`,
      env,
    )
    close()
    expect(code).toBe(7)
    expect(Date.now() - values[0]).toBeLessThan(1_000)
  })

  test('exits soon while texts are scored', async () => {
    const { code, values } = await run(
      `await api.load()
       const records = Array.from({ length: 100000 }, (_, log_id) => ({ log_id, log_text: 'some words of line ' + log_id }))
       api.analyzeBatch(records).catch(() => {})
       await new Promise((resolve) => setTimeout(resolve, 100))
       out(Date.now())
       process.exit(7)`,
      { ANOMALY_MODEL: TINY },
    )
    expect(code).toBe(7)
    expect(Date.now() - values[0]).toBeLessThan(1_500)
  })

  test('ends by itself when nothing is left to do', async () => {
    const { code, signal } = await run('await api.analyzeLog({ log_id: 1, log_text: "x" })', { ANOMALY_MODEL: TINY })
    expect([code, signal]).toEqual([0, null])
  })

  test('shares one model among worker threads, and survives their end in the middle of a call', async () => {
    const { code, signal, values } = await run(
      `const { Worker } = require('worker_threads')
       const program =
         "const { parentPort } = require('worker_threads');" +
         "const { analyzeBatch, health } = require(" + ${JSON.stringify(JSON.stringify(require.resolve('..')))} + ");" +
         "const records = (n) => Array.from({ length: n }, (_, log_id) => ({ log_id, log_text: 'line ' + log_id }));" +
         "parentPort.postMessage(health().model_loaded);" +
         "analyzeBatch(records(10)).then(({ length }) => { parentPort.postMessage(length); return analyzeBatch(records(50000)) })"
       await api.load()
       for (let round = 0; round < 3; round++) {
         const worker = new Worker(program, { eval: true })
         const messages = []
         await new Promise((resolve) => worker.on('message', (m) => { messages.push(m); if (messages.length === 2) resolve() }))
         await new Promise((resolve) => setTimeout(resolve, 30))
         await worker.terminate()
         out(messages)
       }
       out((await api.analyzeLog({ log_id: 1, log_text: 'x' })).model_name)`,
      { ANOMALY_MODEL: TINY },
    )
    expect([code, signal]).toEqual([0, null])
    expect(values).toEqual([[true, 10], [true, 10], [true, 10], 'tiny'])
  })

  test('survives the end of a worker thread that waits for the load', async () => {
    const { env, close } = await waiting()
    const { code, values } = await run(
      `const { Worker } = require('worker_threads')
       const worker = new Worker("require(" + ${JSON.stringify(JSON.stringify(require.resolve('..')))} + ").load().catch(() => {})", { eval: true })
       await new Promise((resolve) => setTimeout(resolve, 500))
       await worker.terminate()
       out(api.health().status)
       process.exit(0)`,
      env,
    )
    close()
    expect(code).toBe(0)
    expect(values).toEqual(['starting'])
  })
})
