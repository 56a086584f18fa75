const { createServer } = require('node:net')
const { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { Hub, COMMIT } = require('./support/hub.js')
const { run, TINY } = require('./support/child.js')

const ID = 'acme/tiny-audit'
const DEFAULT = 'distilbert-base-uncased-finetuned-sst-2-english'

/** @type {Hub} */
let hub
/** @type {string} */
let home

const start = async (options = {}) => {
  hub = await new Hub({ id: ID, ...options }).start()
}

/** The settings of a child that uses the hub of the test and a cache of its own. */
const env = (more = {}) => ({ HF_ENDPOINT: hub.url, HF_HOME: home, HOME: home, ANOMALY_MODEL: ID, ...more })

const LOAD = `
  const result = await failure(api.load())
  out(result.resolved ?? result)
  if (result.resolved) out(await api.analyzeLog({ log_id: 1, log_text: 'Failed login attempt for username: admin' }))
`
const SCORE = JSON.parse(readFileSync(join(__dirname, 'fixtures', 'tiny.json'), 'utf8')).texts.find(
  ({ text }) => text === 'Failed login attempt for username: admin',
).score

/** Names of all files in the cache that hold model data. */
const blobs = () => {
  const directory = join(home, 'hub', `models--${ID.replace('/', '--')}`, 'blobs')
  return existsSync(directory) ? readdirSync(directory).filter((name) => !name.endsWith('.lock')) : []
}

const expectScored = ({ code, values, stderr }, name = ID) => {
  expect(stderr).toBe('')
  expect(code).toBe(0)
  expect(values[0]).toEqual({ status: 'healthy', model_loaded: true, model_name: name, threshold: 0.7 })
  expect(values[1].model_name).toBe(name)
  expect(values[1].anomaly_score).toBeCloseTo(SCORE, 3)
}

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'audit-anomaly-hub-'))
})

afterEach(async () => {
  await hub?.stop()
  hub = undefined
  rmSync(home, { recursive: true, force: true })
})

describe('a model of the hub', () => {
  test('is downloaded once, and comes from the cache afterwards without any request', async () => {
    await start()
    expectScored(await run(LOAD, env()))
    const requests = hub.requests.length
    expect(requests).toBeGreaterThan(0)
    expect(hub.paths.filter((path) => path.includes('/resolve/main/'))).toEqual(
      expect.arrayContaining([`/${ID}/resolve/main/config.json`]),
    )
    // All but the first file come from the commit that the first one named.
    expect(hub.paths).toContain(`/${ID}/resolve/${COMMIT}/model.safetensors`)
    expectScored(await run(LOAD, env()))
    expectScored(await run(LOAD, env({ HF_HUB_OFFLINE: '1' })))
    expect(hub.requests.length).toBe(requests)
  })

  test('leaves a cache in the layout that Python shares', async () => {
    await start()
    await run(LOAD, env({ HF_HOME: '', HF_HUB_CACHE: join(home, 'elsewhere') }))
    const repository = join(home, 'elsewhere', `models--${ID.replace('/', '--')}`)
    expect(readFileSync(join(repository, 'refs', 'main'), 'utf8')).toBe(COMMIT)
    const snapshot = join(repository, 'snapshots', COMMIT)
    expect(readdirSync(snapshot).sort()).toEqual([...hub.files.keys()].sort())
    expect(readFileSync(join(snapshot, 'model.safetensors'))).toEqual(hub.files.get('model.safetensors'))
  })

  test('is used with tokenizer.json where it has one', async () => {
    await start({ files: ['config.json', 'tokenizer.json', 'model.safetensors'] })
    expectScored(await run(LOAD, env()))
    expect(hub.paths.some((path) => path.endsWith('vocab.txt'))).toBe(false)
  })

  test('is found by a short name through the redirect of the hub', async () => {
    await start({ id: `distilbert/${DEFAULT}` })
    const result = await run(LOAD, env({ ANOMALY_MODEL: `${DEFAULT}@main` }))
    expectScored(result, DEFAULT)
    expect(hub.paths[0]).toBe(`/${DEFAULT}/resolve/main/config.json`)
    expect(hub.paths[1]).toBe(`/distilbert/${DEFAULT}/resolve/main/config.json`)
  })

  test('is taken at the revision that was asked for', async () => {
    await start({ revision: 'v2' })
    expectScored(await run(LOAD, env({ ANOMALY_MODEL: `${ID}@v2` })))
    expect(hub.paths[0]).toBe(`/${ID}/resolve/v2/config.json`)
    expectScored(await run(LOAD, env({ ANOMALY_MODEL_REVISION: COMMIT })))
  })

  test('is asked for with the token, which no message shows', async () => {
    await start({ token: 'hf_secret' })
    const refused = await run(LOAD, env({ HF_TOKEN: 'hf_wrong' }))
    expect(refused.values[0]).toMatchObject({ code: 'MODEL_DOWNLOAD', message: expect.stringContaining('401') })
    expect(refused.values[0].message).toContain('HF_TOKEN')
    expect(refused.values[0].message + refused.stderr).not.toContain('hf_wrong')
    expectScored(await run(LOAD, env({ HF_TOKEN: 'hf_secret' })))
  })

  test('reports its download, and survives a listener that throws', async () => {
    await start()
    hub.fault = (request, response, { content, bytes }) => {
      if (!content || !request.headers.range?.endsWith('-')) return false
      response.writeHead(206, {
        'content-length': bytes.length,
        'content-range': `bytes 0-${bytes.length - 1}/${bytes.length}`,
      })
      response.write(bytes.subarray(0, 1000))
      setTimeout(() => response.end(bytes.subarray(1000)), 400)
      return true
    }
    const body = `
      const seen = []
      await api.load({ onProgress: (progress) => { seen.push(progress); if (process.env.THROW) throw new Error('mine') } })
      out(seen)`
    const { values } = await run(body, env())
    const size = hub.files.get('model.safetensors').length
    expect(values[0]).toContainEqual({ file: 'model.safetensors', received: 1000, total: size })
    expect(values[0].at(-1)).toEqual({ file: 'model.safetensors', received: size, total: size })

    rmSync(join(home, 'hub'), { recursive: true })
    const thrown = await run(body, env({ THROW: '1' }))
    expect(thrown.code).toBe(0)
    expect(thrown.values[0]).toHaveLength(1)
    expect(thrown.stderr).toMatch(/AnomalyWarning: onProgress threw: Error: mine/)
  })

  test('is downloaded by two processes at once without harm', async () => {
    await start()
    const both = await Promise.all([run(LOAD, env()), run(LOAD, env())])
    for (const result of both) expectScored(result)
    expect(blobs()).toHaveLength(hub.files.size)
    // The second found the files in the cache.
    expect(hub.paths.filter((path) => path.startsWith('/content/')).length).toBeLessThanOrEqual(2)
  })
})

describe('faults of the hub', () => {
  test('a refused connection is told at once', async () => {
    await start()
    const settings = env()
    await hub.stop()
    const { values, ms } = await run(LOAD, settings)
    expect(values[0]).toMatchObject({ code: 'MODEL_DOWNLOAD', isAnomalyError: true })
    expect(values[0].message).toMatch(/cannot be reached.*HF_ENDPOINT/s)
    expect(values[0].message).toContain(settings.HF_ENDPOINT)
    expect(ms).toBeLessThan(5_000)
  })

  test('a host that never answers is given up within 10 s', async () => {
    const silent = createServer(() => {})
    await new Promise((resolve) => silent.listen(0, '127.0.0.1', resolve))
    const endpoint = `http://127.0.0.1:${silent.address().port}`
    const body = `const start = Date.now(); out(await failure(api.load())); out(Date.now() - start)`
    const { values, code } = await run(body, { HF_ENDPOINT: endpoint, HF_HOME: home, ANOMALY_MODEL: ID })
    silent.close()
    expect(code).toBe(0)
    expect(values[0]).toMatchObject({ code: 'MODEL_DOWNLOAD', message: expect.stringContaining('said nothing') })
    expect(values[1]).toBeGreaterThan(8_000)
    expect(values[1]).toBeLessThanOrEqual(10_000)
  })

  test('a hub that falls silent in the middle of the weights is given up too', async () => {
    await start()
    hub.fault = (request, response, { content, bytes }) => {
      if (!content || !request.headers.range?.endsWith('-')) return false
      response.writeHead(206, { 'content-length': bytes.length }).write(bytes.subarray(0, 5000))
      return true
    }
    const { values } = await run(LOAD, env())
    expect(values[0]).toMatchObject({ code: 'MODEL_DOWNLOAD', message: expect.stringContaining('said nothing') })
    expect(values[0].message).toContain('model.safetensors')
  })

  test('404 says what to check', async () => {
    await start()
    const { values } = await run(LOAD, env({ ANOMALY_MODEL: 'acme/no-such-model' }))
    expect(values[0]).toMatchObject({ code: 'MODEL_NOT_FOUND' })
    expect(values[0].message).toMatch(/no config\.json for acme\/no-such-model@main.*id and the revision/s)
  })

  test.each(['config.json', 'model.safetensors'])('a repository without %s or tokenizer says so', async (name) => {
    await start({ files: ['config.json', 'vocab.txt', 'model.safetensors'].filter((file) => file !== name) })
    const { values } = await run(LOAD, env())
    expect(values[0]).toMatchObject({ code: 'MODEL_NOT_FOUND', message: expect.stringContaining(name) })
  })

  test.each([429, 503])('%d is tried again, and told when it stays', async (status) => {
    await start()
    hub.fault = (_request, response, { content, count }) =>
      !content && count < 2 && Boolean(response.writeHead(status).end('busy'))
    expectScored(await run(LOAD, env()))
    rmSync(join(home, 'hub'), { recursive: true })
    hub.fault = (_request, response) => Boolean(response.writeHead(status).end('busy'))
    const { values } = await run(LOAD, env())
    expect(values[0]).toMatchObject({ code: 'MODEL_DOWNLOAD', message: expect.stringContaining(String(status)) })
  })

  test('a connection cut in the middle of the weights is resumed', async () => {
    await start()
    let cuts = 0
    hub.fault = (request, response, { content, bytes }) => {
      const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1])
      if (!content || Number.isNaN(from) || cuts === 2) return false
      cuts += 1
      response.writeHead(206, { 'content-length': bytes.length - from })
      response.write(bytes.subarray(from, from + 60_000), () => response.destroy())
      return true
    }
    expectScored(await run(LOAD, env()))
    expect(cuts).toBe(2)
  })

  test('weights that are cut again and again never get into the cache', async () => {
    await start()
    hub.fault = (request, response, { content, bytes }) => {
      if (!content || !request.headers.range?.endsWith('-')) return false
      response
        .writeHead(206, { 'content-length': bytes.length })
        .write(bytes.subarray(0, 100), () => response.destroy())
      return true
    }
    const { values } = await run(LOAD, env())
    expect(values[0]).toMatchObject({ code: 'MODEL_DOWNLOAD', message: expect.stringContaining('model.safetensors') })
    const snapshot = join(home, 'hub', `models--${ID.replace('/', '--')}`, 'snapshots', COMMIT)
    expect(readdirSync(snapshot)).not.toContain('model.safetensors')
    // And the next start, with the hub well again, loads.
    hub.fault = () => false
    expectScored(await run(LOAD, env()))
  })

  test.each(['config.json', 'model.safetensors'])('%s with a wrong checksum is refused and not kept', async (name) => {
    await start()
    const right = hub.files.get(name)
    const wrong = Buffer.from(right)
    wrong[right.length - 2] ^= 0x20
    hub.fault = (request, response, about) => {
      if (about.name !== name || !request.headers.range?.endsWith('-') || (name.endsWith('s') && !about.content))
        return false
      response.writeHead(206, { 'content-length': wrong.length }).end(wrong)
      return true
    }
    const { values } = await run(LOAD, env())
    expect(values[0]).toMatchObject({ code: 'MODEL_CHECKSUM', message: expect.stringContaining(name) })
    hub.fault = () => false
    expectScored(await run(LOAD, env()))
  })

  test('the default model is held to its published checksums', async () => {
    // The tiny model in its place, at the pinned revision: even its configuration is refused.
    await start({ id: `distilbert/${DEFAULT}`, revision: '714eb0fa89d2f80546fda750413ed43d93601a13' })
    const { values } = await run(LOAD, env({ ANOMALY_MODEL: DEFAULT }))
    expect(values[0]).toMatchObject({ code: 'MODEL_CHECKSUM' })
    expect(values[0].message).toContain('582122c8f414793d131e10022ce9ba04e3811a9da6389137ee2f18665b4f4d15')
  })

  test('offline without the model in the cache says so', async () => {
    await start()
    const { values } = await run(LOAD, env({ HF_HUB_OFFLINE: '1' }))
    expect(values[0]).toMatchObject({ code: 'MODEL_DOWNLOAD', message: expect.stringContaining('HF_HUB_OFFLINE') })
    expect(hub.requests).toHaveLength(0)
  })

  test('a cache that cannot be written says so', async () => {
    await start()
    const { values } = await run(LOAD, env({ HF_HUB_CACHE: '/dev/null/hub' }))
    expect(values[0]).toMatchObject({ code: 'MODEL_DOWNLOAD', message: expect.stringContaining('/dev/null/hub') })
  })
})

describe('no model asked for by name', () => {
  const unset = (more) => ({ HF_HOME: home, HOME: home, ...more })

  test.each([
    ['offline', { HF_HUB_OFFLINE: '1' }],
    ['a hub that cannot be reached', { HF_ENDPOINT: 'http://127.0.0.1:9' }],
  ])('%s falls back to the bundled model with one warning', async (_, settings) => {
    const { code, values, stderr } = await run(`${LOAD} await api.load()`, unset(settings))
    expect(code).toBe(0)
    expect(values[0]).toMatchObject({ status: 'healthy', model_name: 'audit-anomaly-small' })
    expect(stderr.match(/AnomalyWarning/g)).toHaveLength(1)
    expect(stderr).toMatch(/ANOMALY_MODEL=bundled/)
  })

  test('a hub that answers with something else is an error', async () => {
    await start({ id: `distilbert/${DEFAULT}`, revision: '714eb0fa89d2f80546fda750413ed43d93601a13' })
    const wrong = await run(LOAD, unset({ HF_ENDPOINT: hub.url }))
    expect(wrong.values[0]).toMatchObject({ code: 'MODEL_CHECKSUM' })
    hub.fault = (_request, response) => Boolean(response.writeHead(503).end())
    const busy = await run(LOAD, unset({ HF_ENDPOINT: hub.url }))
    expect(busy.values[0]).toMatchObject({ code: 'MODEL_DOWNLOAD', message: expect.stringContaining('503') })
  })

  test('the bundled model and a directory never touch the network', async () => {
    await start()
    for (const [model, name] of [
      ['bundled', 'audit-anomaly-small'],
      [TINY, 'tiny'],
    ]) {
      const { values, stderr } = await run(LOAD, unset({ HF_ENDPOINT: hub.url, ANOMALY_MODEL: model }))
      expect(values[0]).toMatchObject({ status: 'healthy', model_name: name })
      expect(stderr).toBe('')
    }
    expect(hub.requests).toHaveLength(0)
  })
})
