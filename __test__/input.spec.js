const fc = require('fast-check')
const { analyzeBatch, analyzeLog, AnomalyError, load } = require('..')

const GOOD = { log_id: 1, log_text: 'User logged in' }

/** Every value that is not an object with fields. */
const NOT_RECORDS = [null, undefined, 0, 1, Number.NaN, '', 'text', true, 10n, Symbol('s'), [], [GOOD], () => GOOD]
const NOT_IDS = [null, undefined, Number.NaN, Infinity, -Infinity, true, Symbol('s'), {}, [], [1], () => 1, new Date()]
const NOT_TEXTS = [null, undefined, 0, 1.5, true, 10n, Symbol('s'), {}, [], ['a'], () => 'a', Buffer.from('a')]

/** The rejection of a call, which must not throw. */
async function rejection(call) {
  let promise
  expect(() => {
    promise = call()
  }).not.toThrow()
  expect(promise).toBeInstanceOf(Promise)
  const error = await promise.then(
    (value) => {
      throw new Error(`resolved to ${JSON.stringify(value)}`)
    },
    (reason) => reason,
  )
  expect(error).toBeInstanceOf(AnomalyError)
  return error
}

afterEach(async () => {
  // After any failure the next good call works.
  expect((await analyzeLog(GOOD)).log_id).toBe(1)
})

test.each(NOT_RECORDS.map((value) => [value]))('the record %p is refused', async (value) => {
  const single = await rejection(() => analyzeLog(value))
  expect(single).toMatchObject({ code: 'INVALID_INPUT', message: expect.stringContaining('the record') })
  const batch = await rejection(() => analyzeBatch([GOOD, value]))
  expect(batch).toMatchObject({
    code: 'INVALID_INPUT',
    details: { item: 1 },
    message: expect.stringContaining('record 1'),
  })
})

test.each(NOT_IDS.map((value) => [value]))('the id %p is refused', async (value) => {
  const error = await rejection(() => analyzeBatch([GOOD, GOOD, { ...GOOD, log_id: value }]))
  expect(error).toMatchObject({ code: 'INVALID_INPUT', details: { item: 2, field: 'log_id' } })
  expect(error.message).toMatch(/record 2: log_id must be a finite number, a string or a bigint, found/)
  expect((await rejection(() => analyzeLog({ ...GOOD, log_id: value }))).details).toEqual({ field: 'log_id' })
})

test.each(NOT_TEXTS.map((value) => [value]))('the text %p is refused', async (value) => {
  const error = await rejection(() => analyzeBatch([{ ...GOOD, log_text: value }]))
  expect(error).toMatchObject({ code: 'INVALID_INPUT', details: { item: 0, field: 'log_text' } })
  expect(error.message).toContain('log_text must be a string, found')
})

test.each([[{}], [{ log_id: 1 }], [{ log_text: 'a' }], [{ LOG_ID: 1, log_text: 'a' }]])(
  'missing fields: %p',
  async (record) => {
    expect(await rejection(() => analyzeLog(record))).toMatchObject({ code: 'INVALID_INPUT' })
  },
)

test.each([[null], [undefined], ['[]'], [{}], [{ length: 1, 0: GOOD }], [new Set([GOOD])], [5]])(
  'the list %p is refused',
  async (records) => {
    const error = await rejection(() => analyzeBatch(records))
    expect(error).toMatchObject({ code: 'INVALID_INPUT', message: expect.stringContaining('records must be an array') })
  },
)

test('a hole in a list is refused', async () => {
  const records = [GOOD, GOOD, GOOD]
  delete records[1]
  expect((await rejection(() => analyzeBatch(records))).details).toEqual({ item: 1 })
})

test.each([[null], [5], ['x'], [[]], [true]])('the options %p are refused', async (options) => {
  for (const call of [() => analyzeLog(GOOD, options), () => analyzeBatch([GOOD], options), () => load(options)]) {
    expect(await rejection(call)).toMatchObject({ code: 'INVALID_INPUT', message: expect.stringContaining('options') })
  }
})

test.each([[-0.0001], [1.0001], [Number.NaN], [Infinity], ['0.5'], [null], [1n], [{}]])(
  'the threshold %p is refused',
  async (threshold) => {
    const error = await rejection(() => analyzeLog(GOOD, { threshold }))
    expect(error).toMatchObject({ code: 'INVALID_INPUT', details: { field: 'threshold' } })
    expect(error.message).toContain('a number from 0 to 1')
  },
)

test.each([[null], [true], [{}], ['abort'], [{ aborted: false }]])('the signal %p is refused', async (signal) => {
  expect(await rejection(() => analyzeLog(GOOD, { signal }))).toMatchObject({ details: { field: 'signal' } })
  expect(await rejection(() => load({ signal }))).toMatchObject({ details: { field: 'signal' } })
})

test.each([[null], [5], ['x']])('the listener %p is refused', async (onProgress) => {
  expect(await rejection(() => load({ onProgress }))).toMatchObject({ details: { field: 'onProgress' } })
})

test('a text may be as long as the limit, in bytes, and no longer', async () => {
  const limit = 65_536
  for (const [longest, tooLong] of [
    ['a '.repeat(limit / 2), `${'a '.repeat(limit / 2)}a`],
    ['é '.repeat(limit / 4) + 'é'.repeat(limit / 8), `${'é'.repeat(limit / 2)}a`],
  ]) {
    expect((await analyzeLog({ log_id: 1, log_text: longest })).log_id).toBe(1)
    const error = await rejection(() => analyzeBatch([GOOD, { log_id: 2, log_text: tooLong }]))
    expect(error).toMatchObject({ code: 'INVALID_INPUT', details: { item: 1, field: 'log_text' } })
    expect(error.message).toContain('ANOMALY_MAX_TEXT_BYTES, 65536 bytes')
  }
})

test('a refusal never shows the text of a log line', async () => {
  const secret = 'password=hunter2 '
  const error = await rejection(() => analyzeLog({ log_id: 1, log_text: secret.repeat(10_000) }))
  expect(error.message).not.toContain('hunter2')
})

test('a record that cannot be read is refused with its place', async () => {
  const hostile = {
    get log_id() {
      throw new Error('no')
    },
    log_text: 'a',
  }
  expect(await rejection(() => analyzeBatch([GOOD, hostile]))).toMatchObject({
    code: 'INVALID_INPUT',
    details: { item: 1 },
  })
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  expect(await rejection(() => analyzeLog(proxy))).toMatchObject({ code: 'INVALID_INPUT' })
})

test('whatever comes in, a promise comes out, and every rejection is an AnomalyError', async () => {
  const value = fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true })
  await fc.assert(
    fc.asyncProperty(value, value, async (first, second) => {
      for (const call of [
        () => analyzeLog(first, second),
        () => analyzeBatch([first], second),
        () => analyzeBatch(first),
      ]) {
        const promise = call()
        const settled = await promise.then(
          () => 'resolved',
          (error) => error,
        )
        if (settled !== 'resolved') {
          expect(settled).toBeInstanceOf(AnomalyError)
          expect(settled.code).toBe('INVALID_INPUT')
        }
      }
    }),
    { numRuns: 300 },
  )
})

test('any string can be scored, alone as in a batch', async () => {
  const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 300 }), fc.string({ unit: 'grapheme', maxLength: 100 }))
  await fc.assert(
    fc.asyncProperty(fc.array(text, { minLength: 1, maxLength: 6 }), async (texts) => {
      const records = texts.map((log_text, log_id) => ({ log_id, log_text }))
      const together = await analyzeBatch(records)
      const alone = await Promise.all(records.map((record) => analyzeLog(record)))
      expect(together).toEqual(alone)
      for (const { anomaly_score: score } of together) expect(score >= 0 && score <= 1).toBe(true)
    }),
    { numRuns: 60 },
  )
})
