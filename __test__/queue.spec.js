/** A busy backend: calls share batches, the process stays responsive, too much is refused, who gives up leaves. */

const { execFileSync } = require('node:child_process')
const { existsSync, mkdtempSync, copyFileSync, rmSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { run, ROOT, TINY } = require('./support/child.js')

/** What the programs below have in common. */
const LINES = `const line = (log_id) => ({ log_id, log_text: 'user ' + log_id + ' opened report ' + (log_id * 7919) % 10007 })
  const lines = (count, from = 0) => Array.from({ length: count }, (_, index) => line(from + index))
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));`

/** @param {string} body @param {Record<string, string>} [env] @param {object} [options] */
const busy = (body, env, options) => run(LINES + body, { ANOMALY_MODEL: TINY, ...env }, options)

describe('coalescing', () => {
  test('calls that arrive while others are computed go into batches together', async () => {
    const { values } = await busy(
      `await api.load()
       const before = api.stats()
       const analyses = await Promise.all(lines(500).map((record) => api.analyzeLog(record)))
       const { batches, mean_batch_size, records, requests, tokens } = api.stats()
       out({ before, batches, mean_batch_size, records, requests, tokens, ids: analyses.map(({ log_id }) => log_id) })
       const together = await api.analyzeBatch(lines(500))
       out(JSON.stringify(together) === JSON.stringify(analyses))`,
      { ANOMALY_CACHE_SIZE: '0', ANOMALY_THREADS: '1' },
    )
    const [{ before, batches, mean_batch_size, records, requests, tokens, ids }, same] = values
    expect(before).toMatchObject({ requests: 0, records: 0, batches: 0, mean_batch_size: 0, compute_seconds: 0 })
    expect(ids).toEqual(Array.from({ length: 500 }, (_, index) => index))
    expect([requests, records]).toEqual([500, 500])
    // The first may be alone; the others fill their batches of 128 tokens.
    expect(batches).toBeLessThan(tokens / 64)
    expect(mean_batch_size).toBeGreaterThan(4)
    expect(same).toBe(true)
  })

  test('a lone call never waits for all of a long list', async () => {
    const { values } = await busy(
      `await api.load()
       let ended = false
       const list = api.analyzeBatch(lines(20000)).then(() => (ended = true))
       await sleep(20)
       await api.analyzeLog(line(-1))
       out(ended)
       await list`,
      { ANOMALY_CACHE_SIZE: '0' },
    )
    expect(values).toEqual([false])
  })

  test('calls of fs and dns finish before the running batch does, with one thread in libuv’s pool', async () => {
    const { values } = await busy(
      `const { readFile } = require('fs/promises')
       const { lookup } = require('dns/promises')
       await api.load()
       const order = []
       const all = Promise.all(lines(1000).map((record) => api.analyzeLog(record))).then(() => order.push('batch'))
       await sleep(0)
       for (let i = 0; i < 20; i++) {
         await Promise.all([readFile('package.json'), lookup('localhost')])
         order.push('system')
         if (order.includes('batch')) break
       }
       await all
       out(order.slice(0, 3))`,
      { ANOMALY_MODEL: 'bundled', ANOMALY_CACHE_SIZE: '0', UV_THREADPOOL_SIZE: '1' },
    )
    expect(values[0]).toEqual(['system', 'system', 'system'])
  })
})

describe('the cache', () => {
  test('answers a text seen before with the same score, and equal texts of a call are computed once', async () => {
    const { values } = await busy(
      `const [first, second] = await api.analyzeBatch([line(1), { ...line(1), log_id: 'again' }])
       out([first.anomaly_score === second.anomaly_score, first.log_id, second.log_id])
       const { batches } = api.stats()
       const third = await api.analyzeLog({ log_id: 3, log_text: line(1).log_text }, { threshold: 0 })
       out([third.anomaly_score === first.anomaly_score, third.is_anomaly])
       const { cache_hits, cache_misses, mean_batch_size, batches: after } = api.stats()
       out([cache_hits, cache_misses, mean_batch_size, after - batches])
       out(api.health())`,
    )
    expect(values[0]).toEqual([true, 1, 'again'])
    expect(values[1]).toEqual([true, true])
    expect(values[2]).toEqual([1, 1, 1, 0])
    expect(Object.keys(values[3])).toEqual(['status', 'model_loaded', 'model_name', 'threshold'])
  })

  test('is off with a size of 0, and even then equal texts of one call are computed once', async () => {
    const { values } = await busy(
      `const same = Array.from({ length: 1000 }, (_, log_id) => ({ log_id, log_text: 'line ' + (log_id % 3) }))
       await api.analyzeBatch(same)
       const one = api.stats()
       await api.analyzeLog(same[0])
       const two = api.stats()
       out([one.batches * one.mean_batch_size, two.batches - one.batches, two.cache_hits, two.cache_misses])`,
      { ANOMALY_CACHE_SIZE: '0' },
    )
    expect(values[0]).toEqual([3, 1, 0, 0])
  })

  test('keeps to its bounds', async () => {
    const { values } = await busy(
      `await api.analyzeBatch(lines(50))
       const { cache_hits } = api.stats()
       for (const record of lines(50)) await api.analyzeLog(record)
       out([cache_hits, api.stats().cache_hits])`,
      { ANOMALY_CACHE_SIZE: '10' },
    )
    const [before, after] = values[0]
    expect(before).toBe(0)
    expect(after).toBeLessThanOrEqual(10)
  })
})

describe('backpressure', () => {
  test('a call is refused at once when the queue is full, and nothing else is disturbed', async () => {
    const { values } = await busy(
      `const calls = lines(1000).map((record) => failure(api.analyzeLog(record)))
       out(api.stats().queue_depth <= 50)
       const results = await Promise.all(calls)
       const scored = results.filter(({ resolved }) => resolved).length
       out(results.find(({ code }) => code))
       const { refused, requests, queue_depth } = api.stats()
       out([scored >= 50, refused > 0, scored === requests, scored + refused, queue_depth])
       out((await api.analyzeLog(line(1))).log_id)`,
      { ANOMALY_MAX_QUEUE: '50' },
    )
    expect(values[0]).toBe(true)
    expect(values[1]).toMatchObject({ code: 'OVERLOADED', isAnomalyError: true, isError: true })
    expect(values[1].message).toContain('ANOMALY_MAX_QUEUE allows 50')
    expect(values[2]).toEqual([true, true, true, 1000, 0])
    expect(values[3]).toBe(1)
  })

  test('bytes count too', async () => {
    const { values } = await busy(
      `const text = (log_id) => ({ log_id, log_text: String(log_id).padEnd(1000, ' x') })
       const results = Promise.all(Array.from({ length: 200 }, (_, id) => failure(api.analyzeLog(text(id)))))
       out(api.stats().queue_bytes <= 5000)
       out((await results).some(({ code, message }) => code === 'OVERLOADED' && message.includes('_BYTES 5000')))`,
      { ANOMALY_MAX_QUEUE_BYTES: '5000' },
    )
    expect(values).toEqual([true, true])
  })

  test('a list that is longer than the queue is fed part by part, and never refused for its length', async () => {
    const { values } = await busy(
      `const list = api.analyzeBatch(lines(500))
       let deepest = 0
       const watch = setInterval(() => (deepest = Math.max(deepest, api.stats().queue_depth)), 0)
       const analyses = await list
       clearInterval(watch)
       out([analyses.length, analyses.every(({ log_id }, index) => log_id === index), deepest <= 20])`,
      { ANOMALY_MAX_QUEUE: '10' },
    )
    expect(values[0]).toEqual([500, true, true])
  })
})

test('a list leaves room for others in a queue that is smaller than it', async () => {
  const { values } = await busy(
    `await api.load()
     let ended = false
     const list = api.analyzeBatch(lines(3000)).then(() => (ended = true))
     const calls = []
     while (!ended) {
       calls.push(await failure(api.analyzeLog(line(-calls.length))))
       await sleep(0)
     }
     await list
     out([calls.length > 3, calls.filter(({ code }) => code).length])`,
    { ANOMALY_MODEL: 'bundled', ANOMALY_MAX_QUEUE: '40', ANOMALY_CACHE_SIZE: '0' },
  )
  expect(values[0]).toEqual([true, 0])
})

describe('cancellation', () => {
  test('takes waiting calls out of the queue, and they cost nothing', async () => {
    const { values } = await busy(
      `await api.load()
       const controller = new AbortController()
       const { signal } = controller
       const long = (record) => ({ ...record, log_text: record.log_text + ' and some more words'.repeat(20) })
       const calls = lines(200).map((record) => failure(api.analyzeLog(long(record), { signal })))
       const list = failure(api.analyzeBatch(lines(1000, 1000).map(long), { signal }))
       const kept = api.analyzeLog(long(line(150)))
       const before = api.stats().queue_depth
       controller.abort(new RangeError('mine'))
       out([before > 100, api.stats().queue_depth <= 1])
       const reasons = await Promise.all([...calls, list])
       out([reasons.length, reasons.every(({ name, message }) => name === 'RangeError' && message === 'mine')])
       out((await kept).log_id)
       const { batches, mean_batch_size } = api.stats()
       out(batches * mean_batch_size < 100)`,
      { ANOMALY_MODEL: 'bundled', ANOMALY_THREADS: '1' },
    )
    expect(values).toEqual([[true, true], [201, true], 150, true])
  })

  test('by a timeout works, also while the model is loading', async () => {
    const { values } = await busy(
      `out(await failure(api.analyzeBatch(lines(100000), { signal: AbortSignal.timeout(5) })))
       out(api.stats().queue_depth)
       out((await api.analyzeLog(line(1))).log_id)`,
    )
    expect(values[0]).toMatchObject({ name: 'TimeoutError', isAnomalyError: false })
    expect(values.slice(1)).toEqual([0, 1])
  })

  test('that comes already aborted does no work at all', async () => {
    const { values } = await busy(
      `out(await failure(api.analyzeLog(line(1), { signal: AbortSignal.abort() })))
       out([api.health().status, api.stats().requests])`,
    )
    expect(values[0].name).toBe('AbortError')
    expect(values[1]).toEqual(['starting', 0])
  })
})

describe('a worker thread', () => {
  test('that is terminated takes its work out of the queue', async () => {
    const { code, values } = await busy(
      `const { Worker } = require('worker_threads')
       await api.load()
       const worker = new Worker(
         "const { analyzeBatch, analyzeLog } = require(" + ${JSON.stringify(JSON.stringify(ROOT))} + ");" +
         "for (let id = 0; id < 20000; id++) analyzeLog({ log_id: id, log_text: 'some text of line ' + id }).catch(() => {});" +
         "require('worker_threads').parentPort.postMessage(0)",
         { eval: true })
       await new Promise((resolve) => worker.once('message', resolve))
       const before = api.stats().queue_depth
       await worker.terminate()
       out([before > 5000, api.stats().queue_depth])
       out((await api.analyzeLog(line(1))).log_id)`,
      { ANOMALY_MODEL: 'bundled', ANOMALY_MAX_QUEUE: '100000' },
    )
    expect(code).toBe(0)
    expect(values).toEqual([[true, 0], 1])
  })

  test('and the main thread count into the same stats', async () => {
    const { values } = await busy(
      `const { Worker } = require('worker_threads')
       await api.analyzeLog(line(1))
       const worker = new Worker(
         "require(" + ${JSON.stringify(JSON.stringify(ROOT))} + ").analyzeLog({ log_id: 1, log_text: 'another' })", { eval: true })
       await new Promise((resolve) => worker.once('exit', resolve))
       out(api.stats().requests)`,
    )
    expect(values).toEqual([2])
  })
})

test('a child process that is forked meanwhile has an engine of its own', async () => {
  const { code, values } = await busy(
    `const { fork } = require('child_process')
     const { writeFileSync, mkdtempSync } = require('fs')
     const file = require('path').join(mkdtempSync(require('path').join(require('os').tmpdir(), 'fork-')), 'child.js')
     writeFileSync(file, "const api = require(" + ${JSON.stringify(JSON.stringify(ROOT))} + ");" +
       "api.analyzeLog({ log_id: 2, log_text: 'in the child' }).then(({ log_id }) => process.send([log_id, api.stats().requests]))")
     const running = api.analyzeBatch(lines(2000))
     const child = fork(file)
     const [answer] = await require('events').once(child, 'message')
     child.disconnect()
     const [exitCode] = await require('events').once(child, 'exit')
     out([answer, exitCode, (await running).length])`,
  )
  expect(code).toBe(0)
  expect(values[0]).toEqual([[2, 1], 0, 2000])
})

describe('Jest', () => {
  test.each([[[]], [['--resetModules']], [['--runInBand', '--no-cache']]])(
    'loads the addon with %j, in several files of one process',
    async (flags) => {
      const folder = mkdtempSync(join(tmpdir(), 'audit-anomaly-jest-'))
      const spec = `const { analyzeLog, AnomalyError } = require(${JSON.stringify(ROOT)})
      test('scores', async () => {
        expect((await analyzeLog({ log_id: 1, log_text: 'x' })).log_id).toBe(1)
        const error = await analyzeLog({}).catch((reason) => reason)
        expect(error).toBeInstanceOf(Error)
        expect(error).toBeInstanceOf(AnomalyError)
        jest.isolateModules(() => {
          const again = require(${JSON.stringify(ROOT)})
          expect(again.health().model_loaded).toBe(true)
        })
      })`
      for (const name of ['one', 'two', 'three'])
        require('node:fs').writeFileSync(join(folder, `${name}.spec.js`), spec)
      require('node:fs').writeFileSync(join(folder, 'package.json'), '{}')
      const jest = join(ROOT, 'node_modules', 'jest', 'bin', 'jest.js')
      const args = [jest, '--rootDir', folder, ...flags]
      // It throws if Jest does.
      execFileSync(process.execPath, args, { cwd: folder, env: { ...process.env, ANOMALY_MODEL: TINY }, stdio: 'pipe' })
      rmSync(folder, { recursive: true })
    },
    120_000,
  )
})

describe('a panic', () => {
  /** The addon with the switch that makes it panic; cargo does nothing when it is up to date. */
  function buildFaulty() {
    const args = ['build', '--release', '--lib', '--features', 'faults', '--message-format', 'json']
    const messages = execFileSync('cargo', args, {
      cwd: ROOT,
      encoding: 'utf8',
      maxBuffer: 1 << 26,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const library = messages
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
      .filter(({ reason, target }) => reason === 'compiler-artifact' && target.name === 'audit_anomaly')
      .flatMap(({ filenames }) => filenames)
      .find((name) => /\.(so|dylib|dll)$/.test(name))
    const addon = join(tmpdir(), `audit-anomaly-faulty-${process.pid}.node`)
    copyFileSync(library, addon)
    return addon
  }

  test('rejects its own batch with INTERNAL, says nothing of the text, and the next call works', async () => {
    const addon = buildFaulty()
    const { code, values, stderr } = await busy(
      `await api.load()
       const bad = { log_id: 1, log_text: 'the secret word, fault: panic' }
       const all = [line(1), bad, line(2)].map((record) => failure(api.analyzeLog(record)))
       const [one, broken, two] = await Promise.all(all)
       out(broken)
       out([one.resolved?.log_id, two.resolved?.log_id])
       out(await failure(api.analyzeBatch([line(3), bad, line(4)])))
       out((await api.analyzeBatch([line(3), line(4)])).length)
       out([api.health().status, api.stats().queue_depth])`,
      { NAPI_RS_NATIVE_LIBRARY_PATH: addon },
    )
    rmSync(addon)
    expect(code).toBe(0)
    expect(values[0]).toMatchObject({ code: 'INTERNAL', isAnomalyError: true })
    expect(values[0].message).toMatch(/^internal error: a panic at src\/detector\.rs:\d+:\d+$/)
    expect(values[1]).toEqual([1, 2])
    expect(values[2].code).toBe('INTERNAL')
    expect(values[3]).toBe(2)
    expect(values[4]).toEqual(['healthy', 0])
    expect(stderr).toContain('a bug: panic at src/detector.rs')
    expect(stderr + JSON.stringify(values)).not.toContain('secret')
  }, 600_000)

  test('cannot be switched on in the addon that is shipped', async () => {
    const { values } = await busy(`out((await api.analyzeLog({ log_id: 1, log_text: 'fault: panic' })).log_id)`)
    expect(values).toEqual([1])
    expect(existsSync(join(ROOT, 'index.js'))).toBe(true)
  })
})
