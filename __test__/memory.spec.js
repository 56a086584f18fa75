/** Memory stays flat over many lines of mixed length, and both precisions can be chosen. */

const { run, TINY } = require('./support/child.js')

test('100,000 lines of mixed length leave no memory behind', async () => {
  const { code, values, stderr } = await run(
    `const words = 'user admin deleted invoice from host while backup of payroll failed'.split(' ')
     let state = 1
     const random = (below) => (state = (state * 48271) % 2147483647) % below
     const line = () => Array.from({ length: 1 + random(random(8) ? 30 : 200) }, () => words[random(words.length)]).join(' ')
     const resident = () => { gc(); return process.memoryUsage.rss() / 2 ** 20 }
     const seen = []
     for (let batch = 0; batch < 100; batch++) {
       const records = Array.from({ length: 1000 }, (_, log_id) => ({ log_id, log_text: line() }))
       const analyses = await api.analyzeBatch(records)
       if (analyses.length !== 1000) throw new Error('lost some')
       if (batch === 19 || batch === 99) seen.push(resident())
     }
     out(seen)`,
    { ANOMALY_MODEL: TINY, ANOMALY_CACHE_SIZE: '0' },
    { args: ['--expose-gc'], timeout: 110_000 },
  )
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const [early, late] = values[0]
  // Heaps breathe; a leak of one float a token would be more.
  expect(late - early).toBeLessThan(10)
}, 120_000)

test.each(['f32', 'int8'])('ANOMALY_PRECISION=%s scores', async (precision) => {
  const { values } = await run(
    `out(await api.analyzeBatch([
       { log_id: 1, log_text: 'Failed login attempt for username: admin' },
       { log_id: 2, log_text: 'User logged in successfully' },
     ]))`,
    { ANOMALY_MODEL: 'bundled', ANOMALY_PRECISION: precision },
  )
  expect(values[0].map(({ is_anomaly }) => is_anomaly)).toEqual([true, false])
})
