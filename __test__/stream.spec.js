/** analyzeStream: any source, in order, in constant memory, closed when nobody listens any more. */

const { EventEmitter, once } = require('node:events')
const { createInterface } = require('node:readline')
const { PassThrough, Readable } = require('node:stream')
const fc = require('fast-check')
const { analyzeBatch, analyzeStream, AnomalyError } = require('..')
const { run, TINY } = require('./support/child.js')

const record = (log_id) => ({ log_id, log_text: `user ${log_id} opened report ${log_id % 13}` })
const records = (count) => Array.from({ length: count }, (_, index) => record(index))

/** @param {AsyncIterable<any>} stream */
async function collect(stream) {
  const analyses = []
  for await (const analysis of stream) analyses.push(analysis)
  return analyses
}

/** The analyses up to a failure, and the failure. */
async function until(stream) {
  const analyses = []
  try {
    for await (const analysis of stream) analyses.push(analysis)
  } catch (error) {
    return { analyses, error }
  }
  return { analyses, error: undefined }
}

/** A source that says how it was treated. */
function watched(count, { fail, wait } = {}) {
  const seen = { read: 0, closed: 0 }
  const source = (async function* () {
    try {
      for (let id = 0; id < count; id++) {
        if (id === fail) throw new RangeError('the source broke')
        if (wait) await new Promise((resolve) => setTimeout(resolve, wait))
        seen.read++
        yield record(id)
      }
    } finally {
      seen.closed++
    }
  })()
  return { source, seen }
}

describe('a source', () => {
  const expected = async (count) => await analyzeBatch(records(count))

  test.each([
    ['an array', (count) => records(count)],
    ['a Set', (count) => new Set(records(count))],
    [
      'a generator',
      (count) =>
        (function* () {
          yield* records(count)
        })(),
    ],
    ['an async generator', (count) => watched(count).source],
    ['an array of promises', (count) => records(count).map((one) => Promise.resolve(one))],
    ['a stream of Node.js', (count) => Readable.from(records(count))],
  ])('can be %s', async (_, source) => {
    for (const count of [0, 1, 64, 65, 300]) {
      expect(await collect(analyzeStream(source(count)))).toEqual(await expected(count))
    }
  })

  test('can be readline over a file', async () => {
    const input = new PassThrough()
    const source = (async function* () {
      let log_id = 0
      // Made here, since it reads at once, and drops what nobody listens to.
      for await (const log_text of createInterface({ input })) yield { log_id: log_id++, log_text }
    })()
    input.end(
      records(200)
        .map(({ log_text }) => `${log_text}\n`)
        .join(''),
    )
    expect(await collect(analyzeStream(source))).toEqual(await expected(200))
  })

  test.each([undefined, null, 7, 'text', {}, () => {}])('cannot be %p', async (source) => {
    const { error } = await until(analyzeStream(source))
    expect(error).toBeInstanceOf(AnomalyError)
    expect(error).toMatchObject({ code: 'INVALID_INPUT', details: { field: 'source' } })
  })

  test('that is slow is answered record by record', async () => {
    const events = new EventEmitter()
    const source = (async function* () {
      for (let id = 0; id < 3; id++) {
        yield record(id)
        await once(events, 'answered')
      }
    })()
    const ids = []
    // Without an answer to the first, the second never comes.
    for await (const { log_id } of analyzeStream(source)) {
      ids.push(log_id)
      setImmediate(() => events.emit('answered'))
    }
    expect(ids).toEqual([0, 1, 2])
  })

  test('is read ahead by a bounded number of records', async () => {
    const { source, seen } = watched(100_000)
    const stream = analyzeStream(source)
    await stream.next()
    await new Promise((resolve) => setTimeout(resolve, 200))
    const first = seen.read
    expect(first).toBeGreaterThan(64)
    expect(first).toBeLessThan(64 * (3 + require('node:os').availableParallelism()))
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(seen.read).toBe(first)
    await stream.return()
  })

  test('is closed when the loop ends early, and not when it ended by itself', async () => {
    const early = watched(1000)
    for await (const { log_id } of analyzeStream(early.source)) if (log_id === 3) break
    expect(early.seen.closed).toBe(1)

    const closed = jest.fn(() => ({ done: true, value: undefined }))
    const one = {
      count: 0,
      next() {
        return { done: this.count++ > 0, value: record(1) }
      },
      return: closed,
    }
    expect(await collect(analyzeStream({ [Symbol.iterator]: () => one }))).toHaveLength(1)
    expect(closed).not.toHaveBeenCalled()
  })

  test('is let go at once when the loop ends while it is in the middle of a read', async () => {
    const closed = jest.fn(async () => ({ done: true, value: undefined }))
    let count = 0
    const source = {
      [Symbol.asyncIterator]: () => ({
        next: () => (count++ === 0 ? Promise.resolve({ done: false, value: record(0) }) : new Promise(() => {})),
        return: closed,
      }),
    }
    for await (const { log_id } of analyzeStream(source)) if (log_id === 0) break
    expect(closed).toHaveBeenCalledTimes(1)
  })

  test('is not touched before the first record is asked for', () => {
    const source = { [Symbol.iterator]: jest.fn() }
    analyzeStream(source)
    expect(source[Symbol.iterator]).not.toHaveBeenCalled()
  })
})

describe('what goes wrong', () => {
  test('in the source is thrown after the analyses before it', async () => {
    const { source, seen } = watched(1000, { fail: 150 })
    const { analyses, error } = await until(analyzeStream(source))
    expect(analyses).toEqual(await analyzeBatch(records(150)))
    expect(error).toEqual(new RangeError('the source broke'))
    expect(seen.closed).toBe(1)
  })

  test('in a record is thrown after the analyses before it, with its index, and closes the source', async () => {
    const closed = jest.fn()
    const source = function* () {
      try {
        yield* records(100)
        yield { log_id: 100 }
        yield* records(100)
      } finally {
        closed()
      }
    }
    const { analyses, error } = await until(analyzeStream(source()))
    expect(analyses).toHaveLength(100)
    expect(error).toMatchObject({ code: 'INVALID_INPUT', details: { item: 100, field: 'log_text' } })
    expect(closed).toHaveBeenCalledTimes(1)
  })

  test('in what the source says of a record is thrown, as by for await', async () => {
    for (const step of [
      undefined,
      7,
      {
        get done() {
          throw new RangeError('no')
        },
      },
    ]) {
      for (const next of [() => step, async () => step]) {
        const { error } = await until(analyzeStream({ [Symbol.asyncIterator]: () => ({ next }) }))
        expect(error?.name).toMatch(/^(TypeError|RangeError)$/)
      }
    }
  })

  test('while the source is closed does not hide what went wrong before', async () => {
    const source = (async function* () {
      try {
        yield { log_id: 1 }
      } finally {
        // biome-ignore lint/correctness/noUnsafeFinally: a source may be as bad as this
        throw new Error('closing failed')
      }
    })()
    const { error } = await until(analyzeStream(source))
    expect(error).toMatchObject({ code: 'INVALID_INPUT' })
  })

  test('in the options is thrown by the loop', async () => {
    const { error } = await until(analyzeStream([], { threshold: 2 }))
    expect(error).toMatchObject({ code: 'INVALID_INPUT', details: { field: 'threshold' } })
  })
})

describe('options', () => {
  test('the threshold holds for the whole stream', async () => {
    const analyses = await collect(analyzeStream(records(100), { threshold: 0 }))
    expect(analyses.every(({ is_anomaly }) => is_anomaly)).toBe(true)
  })

  test('the signal ends the stream with its reason, also while the source is silent', async () => {
    const controller = new AbortController()
    const closed = jest.fn(async () => ({ done: true, value: undefined }))
    const source = { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}), return: closed }) }
    setTimeout(() => controller.abort('enough'), 20)
    expect((await until(analyzeStream(source, { signal: controller.signal }))).error).toBe('enough')
    expect(closed).toHaveBeenCalledTimes(1)
    expect((await until(analyzeStream([], { signal: AbortSignal.abort('before') }))).error).toBe('before')
  })

  test('the signal ends it between two records', async () => {
    const controller = new AbortController()
    const analyses = []
    const failure = await (async () => {
      for await (const analysis of analyzeStream(records(500), { signal: controller.signal })) {
        analyses.push(analysis)
        if (analyses.length === 10) controller.abort('enough')
      }
    })().catch((reason) => reason)
    expect(failure).toBe('enough')
    expect(analyses).toHaveLength(10)
  })
})

test('any mixture of ready and late records comes out in order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom(0, 0, 0, 1, 2), { maxLength: 200 }),
      fc.nat(200),
      async (delays, stop) => {
        const source = (async function* () {
          for (const [id, delay] of delays.entries()) {
            if (delay === 1) await new Promise((resolve) => setImmediate(resolve))
            if (delay === 2) await new Promise((resolve) => setTimeout(resolve, 1))
            yield record(id)
          }
        })()
        const ids = []
        for await (const { log_id } of analyzeStream(source)) {
          ids.push(log_id)
          if (ids.length > stop) break
        }
        expect(ids).toEqual(delays.map((_, id) => id).slice(0, stop + 1))
      },
    ),
    { numRuns: 50 },
  )
})

test('a stream waits where a call is refused', async () => {
  const { values } = await run(
    `const record = (log_id) => ({ log_id, log_text: 'line ' + log_id })
     const many = Array.from({ length: 1000 }, (_, id) => failure(api.analyzeLog(record(id))))
     const ids = []
     for await (const { log_id } of api.analyzeStream(Array.from({ length: 300 }, (_, id) => record(id)))) ids.push(log_id)
     out(ids)
     const results = await Promise.all(many)
     const { requests, records, refused } = api.stats()
     out(results.filter(({ code }) => code === 'OVERLOADED').length === refused)
     out([refused > 0, requests + refused, records + refused])`,
    { ANOMALY_MODEL: TINY, ANOMALY_MAX_QUEUE: '10' },
  )
  expect(values[0]).toEqual(Array.from({ length: 300 }, (_, id) => id))
  expect(values.slice(1)).toEqual([true, [true, 1001, 1300]])
})

test('a million lines run in constant memory', async () => {
  const { code, values, stderr } = await run(
    `function* source() { for (let id = 0; id < 1e6; id++) yield { log_id: id, log_text: 'line ' + id } }
     const resident = () => { gc(); return process.memoryUsage.rss() / 2 ** 20 }
     const seen = []
     let count = 0
     for await (const { log_id } of api.analyzeStream(source())) {
       if (log_id !== count++) throw new Error('out of order')
       if (count === 4e5 || count === 1e6) seen.push(resident())
     }
     out([count, ...seen])`,
    { ANOMALY_MODEL: TINY, ANOMALY_CACHE_SIZE: '0' },
    { args: ['--expose-gc'], timeout: 280_000 },
  )
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const [count, early, late] = values[0]
  expect(count).toBe(1e6)
  expect(late - early).toBeLessThan(10)
}, 300_000)
