/** Reported scores against Python's (unrounded ones: tests/suite/golden.rs). */

const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { run, TINY } = require('./support/child.js')

/** Whether Python's value is so close to a rounding boundary that either neighbour is right. */
const atBoundary = (score) => Math.abs(((score * 1e4) % 1) - 0.5) <= 0.1

test.each([
  ['tiny', TINY],
  ['bundled', 'bundled'],
])('the %s model reports what Python computes', async (name, model) => {
  const file = join(__dirname, 'fixtures', `${name}.json`)
  const golden = JSON.parse(readFileSync(file, 'utf8'))
  const body = `
    const { texts, windowed } = JSON.parse(require('fs').readFileSync(${JSON.stringify(file)}, 'utf8'))
    const records = [...texts, ...windowed].map(({ text }, log_id) => ({ log_id, log_text: text }))
    out(await api.analyzeBatch(records))`
  const { code, values } = await run(body, { ANOMALY_MODEL: model })
  expect(code).toBe(0)
  const expected = [
    ...golden.texts.map(({ score }) => score),
    ...golden.windowed.map(({ windows }) => Math.max(...windows)),
  ]
  expect(values[0]).toHaveLength(expected.length)
  expect(golden.texts.length).toBeGreaterThanOrEqual(150)
  values[0].forEach(({ anomaly_score: found }, index) => {
    const slack = atBoundary(expected[index]) ? 1.0001e-4 : 1e-9
    expect(Math.abs(found - Number(expected[index].toFixed(4)))).toBeLessThanOrEqual(slack)
  })
})
