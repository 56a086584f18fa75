const { spawn, spawnSync } = require('node:child_process')
const { once } = require('node:events')
const { mkdtempSync, rmSync } = require('node:fs')
const { createServer } = require('node:net')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { Queue, QueueEvents } = require('bullmq')
const { analyzeLog } = require('audit-anomaly')
const { JOB_OPTIONS, startWorker } = require('../bullmq.js')

const { error } = spawnSync('redis-server', ['--version'])
if (error) console.warn(`the BullMQ example is not tested: redis-server does not run here (${error.message})`)

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  return port
}

;(error ? describe.skip : describe)('with a Redis of its own', () => {
  let folder, redis, connection

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'redis-'))
    connection = { host: '127.0.0.1', port: await freePort() }
    const args = ['--port', String(connection.port), '--bind', '127.0.0.1', '--save', '', '--dir', folder]
    redis = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] })
    for await (const chunk of redis.stdout) if (String(chunk).includes('Ready to accept connections')) break
    redis.stdout.resume()
  })
  afterAll(async () => {
    redis.kill()
    if (redis.exitCode === null) await once(redis, 'exit')
    rmSync(folder, { recursive: true })
  })

  /** @type {(() => Promise<void>)[]} whatever is open, also after a failure: it would keep Jest alive */
  const open = []
  afterEach(async () => {
    for (const close of open.splice(0).reverse()) await close()
  })
  const opened = (thing) => {
    open.push(() => thing.close())
    return thing
  }

  test('jobs are scored, and the flagged ones go to their own queue', async () => {
    const queue = opened(new Queue('audit-log', { connection, defaultJobOptions: JOB_OPTIONS }))
    const anomalies = opened(new Queue('anomalies', { connection }))
    const events = opened(new QueueEvents('audit-log', { connection }))
    await events.waitUntilReady()
    // Each job that is waited for has a listener.
    queue.setMaxListeners(0)
    opened(startWorker(connection))
    const records = Array.from({ length: 50 }, (_, log_id) => ({
      log_id,
      log_text: log_id % 10 === 0 ? `Failed login attempt for username: admin${log_id}` : `Order ${log_id} approved`,
    }))
    const jobs = await queue.addBulk(records.map((data) => ({ name: 'line', data })))
    const results = await Promise.all(jobs.map((job) => job.waitUntilFinished(events)))
    expect(results).toEqual(await Promise.all(records.map((record) => analyzeLog(record))))
    const flagged = (await anomalies.getJobs()).map(({ data }) => data).sort((a, b) => a.log_id - b.log_id)
    expect(flagged).toEqual(
      results.flatMap((result, index) => (result.is_anomaly ? [{ ...records[index], ...result }] : [])),
    )
    expect(flagged.map(({ log_id }) => log_id)).toEqual([0, 10, 20, 30, 40])
  })

  test('what can never succeed is not tried again', async () => {
    const queue = opened(new Queue('audit-log', { connection, defaultJobOptions: JOB_OPTIONS }))
    const events = opened(new QueueEvents('audit-log', { connection }))
    await events.waitUntilReady()
    opened(startWorker(connection))
    const report = jest.spyOn(console, 'error').mockImplementation(() => {})
    const bad = await queue.add('line', { log_id: 1 })
    await expect(bad.waitUntilFinished(events)).rejects.toThrow('log_text must be a string')
    expect((await queue.getJob(bad.id)).attemptsMade).toBe(1)
    expect(report).toHaveBeenCalledWith(expect.stringContaining('log_text must be a string'))
    report.mockRestore()
  })
})
