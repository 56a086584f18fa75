const { analyzeBatch, analyzeLog, AnomalyError, health, load } = require('..')
const { run, TINY } = require('./support/child.js')

describe('the calls', () => {
  test('health() names the configured model and loads nothing', async () => {
    const { values } = await run('out(api.health()); await new Promise((r) => setTimeout(r, 200)); out(api.health())', {
      ANOMALY_MODEL: 'owner/name@v1',
      ANOMALY_THRESHOLD: '0.25',
    })
    const starting = { status: 'starting', model_loaded: false, model_name: 'owner/name', threshold: 0.25 }
    expect(values).toEqual([starting, starting])
  })

  test('load() gives the health of the loaded model', async () => {
    const healthy = { status: 'healthy', model_loaded: true, model_name: 'tiny', threshold: 0.7 }
    expect(await load()).toEqual(healthy)
    expect(health()).toEqual(healthy)
    expect(await load({})).toEqual(healthy)
  })

  test.each([7, -1.5, 0, 'a-1', '', 10n ** 30n])('analyzeLog gives back the id %p as it was', async (id) => {
    const analysis = await analyzeLog({ log_id: id, log_text: 'User logged in' })
    expect(Object.keys(analysis)).toEqual(['log_id', 'anomaly_score', 'is_anomaly', 'model_name'])
    expect(analysis.log_id).toBe(id)
    expect(analysis.model_name).toBe('tiny')
    expect(analysis.is_anomaly).toBe(analysis.anomaly_score >= 0.7)
    expect(analysis.anomaly_score).toBe(Number(analysis.anomaly_score.toFixed(4)))
  })

  test('analyzeBatch keeps order and length, and agrees with analyzeLog', async () => {
    const records = ['one failed', '', 'one failed', 'two 😀', 'x'.repeat(3000)].map((log_text, log_id) => ({
      log_id,
      log_text,
    }))
    const analyses = await analyzeBatch(records)
    expect(analyses.map(({ log_id }) => log_id)).toEqual([0, 1, 2, 3, 4])
    expect(analyses).toEqual(await Promise.all(records.map((record) => analyzeLog(record))))
    expect(analyses[0].anomaly_score).toBe(analyses[2].anomaly_score)
    expect(await analyzeBatch([])).toEqual([])
  })

  test('the threshold of a call decides that call alone, up to and including it', async () => {
    const record = { log_id: 1, log_text: 'Failed login attempt' }
    const { anomaly_score: score } = await analyzeLog(record)
    const flag = async (threshold) => (await analyzeLog(record, { threshold })).is_anomaly
    expect(await flag(score)).toBe(true)
    expect(await flag(Math.min(1, score + 0.0001))).toBe(false)
    expect(await flag(0)).toBe(true)
    expect((await analyzeBatch([record], { threshold: 0 }))[0].is_anomaly).toBe(true)
    expect((await analyzeLog(record)).is_anomaly).toBe(score >= 0.7)
  })

  test('what the caller changes after the call changes nothing', async () => {
    const record = { log_id: 1, log_text: 'first' }
    const records = [record]
    const pending = analyzeBatch(records)
    record.log_text = 'second'
    record.log_id = 2
    records.length = 0
    expect(await pending).toEqual([await analyzeLog({ log_id: 1, log_text: 'first' })])
  })

  test('lone surrogates count as U+FFFD', async () => {
    const [lone, replaced] = await analyzeBatch([
      { log_id: 1, log_text: 'a \ud800 b' },
      { log_id: 2, log_text: 'a \ufffd b' },
    ])
    expect(lone.anomaly_score).toBe(replaced.anomaly_score)
  })

  test('works by require and by import, by name', async () => {
    const { code, values } = await run(
      `const m = await import(${JSON.stringify(require.resolve('..'))})
       out(Object.keys(m).filter((name) => name !== 'default' && name !== 'module.exports').sort())
       out((await m.analyzeLog({ log_id: 1, log_text: 'x' })).model_name)
       out(m.AnomalyError === api.AnomalyError)`,
      { ANOMALY_MODEL: TINY },
    )
    expect(code).toBe(0)
    const names = ['AnomalyError', 'analyzeBatch', 'analyzeLog', 'analyzeStream', 'health', 'load', 'stats']
    expect(values).toEqual([names, 'tiny', true])
  })

  test('an AnomalyError is an Error of this realm, with a stack that leads here', async () => {
    const error = await analyzeLog(null).catch((reason) => reason)
    expect(error).toBeInstanceOf(Error)
    expect(error).toBeInstanceOf(AnomalyError)
    expect(error.name).toBe('AnomalyError')
    expect(error.stack).toContain('api.spec.js')
  })
})

describe('a signal', () => {
  const record = { log_id: 1, log_text: 'User logged in' }
  /** Some seconds of work in a debug-sized model. */
  const plenty = Array.from({ length: 20_000 }, (_, log_id) => ({
    log_id,
    log_text: `line ${log_id} of many words and more`,
  }))

  test('that is aborted already rejects with its reason', async () => {
    const reason = new Error('mine')
    const signal = AbortSignal.abort(reason)
    await expect(analyzeLog(record, { signal })).rejects.toBe(reason)
    await expect(analyzeBatch([], { signal })).rejects.toBe(reason)
    await expect(load({ signal })).rejects.toBe(reason)
  })

  test('that aborts while the work is done rejects at once, and the next call works', async () => {
    const controller = new AbortController()
    const own = jest.fn()
    controller.signal.onabort = own
    const pending = analyzeBatch(plenty, { signal: controller.signal })
    setTimeout(() => controller.abort('enough'), 30)
    await expect(pending).rejects.toBe('enough')
    expect(own).toHaveBeenCalledTimes(1)
    expect((await analyzeLog(record)).log_id).toBe(1)
  })

  test('with a timeout rejects with its TimeoutError', async () => {
    const failure = await analyzeBatch(plenty, { signal: AbortSignal.timeout(20) }).catch((error) => error)
    expect(failure.name).toBe('TimeoutError')
  })

  test('that does not abort leaves no listener behind', async () => {
    const { signal } = new AbortController()
    const remove = jest.spyOn(signal, 'removeEventListener')
    await analyzeLog(record, { signal })
    await new Promise(setImmediate)
    expect(remove).toHaveBeenCalledWith('abort', expect.any(Function))
  })
})
