const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { gzipSync } = require('node:zlib')
const { spawnSync } = require('node:child_process')
const { analyzeBatch } = require('audit-anomaly')
const { anomaliesIn, linesOf } = require('../stream.js')

const LOG = join(__dirname, '..', 'audit.log')

/** @type {string} */
let folder
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'stream-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

async function expected() {
  const records = readFileSync(LOG, 'utf8')
    .split('\n')
    .map((log_text, index) => ({ log_id: index + 1, log_text }))
    .filter(({ log_text }) => log_text)
  const analyses = await analyzeBatch(records)
  return analyses
    .map((analysis, index) => ({ ...analysis, log_text: records[index].log_text }))
    .filter(({ is_anomaly }) => is_anomaly)
}

test('finds what a list of all lines finds, each with its own text, and prints it', async () => {
  const { stdout, status } = spawnSync(process.execPath, [join(__dirname, '..', 'stream.js'), LOG], {
    encoding: 'utf8',
  })
  const printed = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(status).toBe(0)
  expect(printed).toEqual(await expected())
  expect(printed.length).toBeGreaterThan(10)
})

test('reads gzip and empty lines', async () => {
  const file = join(folder, 'app.log.gz')
  writeFileSync(file, gzipSync('Order approved\r\n\r\nFailed login attempt\n'))
  const found = []
  for await (const anomaly of anomaliesIn(file)) found.push(anomaly)
  expect(found).toMatchObject([{ log_id: 3, log_text: 'Failed login attempt' }])
})

test.each([
  ['nothing.log', undefined, /ENOENT/],
  ['nothing.gz', undefined, /ENOENT/],
  ['no.gz', Buffer.from('not gzip at all'), /incorrect header/],
  ['cut.gz', gzipSync(`${'Order approved '.repeat(100)}\n`.repeat(100)).subarray(0, -20), /unexpected end/],
])('says what is wrong with %s', async (name, bytes, message) => {
  const file = join(folder, name)
  if (bytes) writeFileSync(file, bytes)
  const all = async () => {
    for await (const { log_id } of linesOf(file)) expect(log_id).toBeGreaterThan(0)
  }
  await expect(all()).rejects.toThrow(message)
})
