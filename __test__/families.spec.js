const { mkdtempSync, readdirSync, readFileSync, rmSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { Hub, COMMIT } = require('./support/hub.js')
const { run } = require('./support/child.js')

const DIRECTORY = join(__dirname, 'fixtures', 'families')

/** Which of a family's labels mean an anomaly, and what has to be said for that. */
const ANOMALOUS = {
  bert: { labels: [1] },
  roberta: { labels: [1, 2] },
  'xlm-roberta': { labels: [0] },
  camembert: { labels: [1], env: { ANOMALY_LABELS: 'label_1' } },
  electra: { labels: [1, 2] },
  modernbert: { labels: [1, 2] },
  'deberta-v2': { labels: [0] },
}

const read = (family, name) => JSON.parse(readFileSync(join(DIRECTORY, family, name), 'utf8'))

/** What Python's logits mean. */
function scoreOf(family, logits) {
  const { labels } = ANOMALOUS[family]
  if (read(family, 'config.json').problem_type === 'multi_label_classification') {
    return Math.max(...labels.map((label) => 1 / (1 + Math.exp(-logits[label]))))
  }
  const most = Math.max(...logits)
  const exponentials = logits.map((logit) => Math.exp(logit - most))
  const sum = (values) => values.reduce((total, value) => total + value, 0)
  return sum(labels.map((label) => exponentials[label])) / sum(exponentials)
}

/** Texts that fit into one window, so that Python has seen all of them. */
const cases = (family) => read(family, 'logits.json').filter(({ text }) => text.length < 400)

// All texts at once, twice: on two threads they go through the model in batches of many make-ups.
const SCORE = `
  const texts = JSON.parse(process.env.TEXTS)
  const scored = await Promise.all([...texts, ...texts].map((log_text, log_id) => api.analyzeLog({ log_id, log_text })))
  out(scored.map(({ anomaly_score }) => anomaly_score))
  out(api.stats().batches)`

async function expectScored(family, env) {
  const expected = cases(family)
  const settings = { ANOMALY_CACHE_SIZE: '0', ANOMALY_THREADS: '2', ...ANOMALOUS[family].env, ...env }
  const { code, values, stderr } = await run(SCORE, {
    ...settings,
    TEXTS: JSON.stringify(expected.map(({ text }) => text)),
  })
  expect(stderr).toBe('')
  expect(code).toBe(0)
  const [scores, batches] = values
  expect(batches).toBeGreaterThan(2)
  for (const [index, { logits }] of [...expected, ...expected].entries()) {
    expect(scores[index]).toBeCloseTo(scoreOf(family, logits), 3)
  }
}

test('each family that has files here is known to these tests', () => {
  expect(Object.keys(ANOMALOUS).sort()).toEqual(readdirSync(DIRECTORY).sort())
})

test.each(Object.keys(ANOMALOUS))('%s has the scores of Python under many calls at once', async (family) => {
  await expectScored(family, { ANOMALY_MODEL: join(DIRECTORY, family) })
})

test('a precision that a family does not have is refused', async () => {
  const env = { ANOMALY_MODEL: join(DIRECTORY, 'deberta-v2'), ANOMALY_PRECISION: 'int8' }
  const { values } = await run('out(await failure(api.load()))', env)
  expect(values[0]).toMatchObject({ code: 'INVALID_CONFIG', message: expect.stringContaining('deberta-v2') })
})

describe('from the hub', () => {
  const ID = 'acme/family'
  /** @type {Hub} */
  let hub
  /** @type {string} */
  let home

  const start = async (family, files) => {
    home = mkdtempSync(join(tmpdir(), 'audit-anomaly-families-'))
    hub = await new Hub({ id: ID, directory: join(DIRECTORY, family), files }).start()
    return { ANOMALY_MODEL: ID, HF_ENDPOINT: hub.url, HF_HOME: home, HOME: home }
  }

  afterEach(async () => {
    await hub?.stop()
    rmSync(home, { recursive: true, force: true })
  })

  const SHARDS = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']

  test('weights in several files come once, at one commit', async () => {
    const env = await start('electra', ['config.json', 'model.safetensors.index.json', ...SHARDS, 'tokenizer.json'])
    await expectScored('electra', env)
    const { length } = hub.requests
    for (const shard of SHARDS) expect(hub.paths).toContain(`/${ID}/resolve/${COMMIT}/${shard}`)
    await expectScored('electra', env)
    await expectScored('electra', { ...env, HF_HUB_OFFLINE: '1' })
    expect(hub.requests).toHaveLength(length)
  })

  test('a file of the weights that the hub does not have is named', async () => {
    const env = await start('electra', ['config.json', 'model.safetensors.index.json', SHARDS[0], 'tokenizer.json'])
    const { values } = await run('out(await failure(api.load()))', env)
    expect(values[0]).toMatchObject({ code: 'MODEL_NOT_FOUND', message: expect.stringContaining(SHARDS[1]) })
  })

  test('an index that leads out of the cache is refused, and nothing is asked for', async () => {
    const env = await start('electra', ['config.json', 'model.safetensors.index.json', 'tokenizer.json'])
    const index = { weight_map: { 'classifier.dense.weight': '../../evil.safetensors' } }
    hub.files.set('model.safetensors.index.json', Buffer.from(JSON.stringify(index)))
    const { values } = await run('out(await failure(api.load()))', env)
    expect(values[0]).toMatchObject({ code: 'MODEL_INVALID', message: expect.stringContaining('evil') })
    expect(hub.paths.join()).not.toContain('evil')
  })

  test('a vocabulary of pairs comes in its two files', async () => {
    const files = ['config.json', 'model.safetensors', 'vocab.json', 'merges.txt', 'tokenizer_config.json']
    const env = await start('roberta', files)
    await expectScored('roberta', env)
    for (const name of files) expect(hub.paths.some((path) => path.endsWith(`/${name}`))).toBe(true)
    await expectScored('roberta', { ...env, HF_HUB_OFFLINE: '1' })
  })
})
