/**
 * BullMQ worker: scores the jobs of the queue `audit-log`, each `{ log_id, log_text }`, and puts those that are flagged
 * into the queue `anomalies`. Needs Redis.
 *
 *     REDIS_URL=redis://localhost:6379 node bullmq.js
 *
 * Jobs that are under way at a time go through the model together, so `concurrency` is how many lines share batches.
 */

const { AnomalyError, analyzeLog } = require('audit-anomaly')
const { Queue, UnrecoverableError, Worker } = require('bullmq')

/** For `queue.add`: a full queue or a hub that is down passes, and the job is tried again. */
const JOB_OPTIONS = { attempts: 5, backoff: { type: 'exponential', delay: 500 }, removeOnComplete: 1000 }

/** What another attempt may get past. */
const PASSING = ['OVERLOADED', 'MODEL_DOWNLOAD']

/**
 * @param {import('bullmq').ConnectionOptions} connection
 * @param {{ concurrency?: number }} [options]
 * @returns {{ worker: import('bullmq').Worker, close: () => Promise<void> }}
 */
function startWorker(connection, { concurrency = 64 } = {}) {
  const anomalies = new Queue('anomalies', { connection })
  const worker = new Worker(
    'audit-log',
    async ({ data }) => {
      try {
        const analysis = await analyzeLog(data)
        if (analysis.is_anomaly) await anomalies.add('anomaly', { ...data, ...analysis })
        return analysis
      } catch (error) {
        if (error instanceof AnomalyError && !PASSING.includes(error.code)) throw new UnrecoverableError(error.message)
        throw error
      }
    },
    { connection, concurrency },
  )
  worker.on('failed', (job, error) => console.error(`job ${job?.id} failed: ${error.message}`))
  // Redis that cannot be reached; the worker goes on trying.
  worker.on('error', (error) => console.error(error.message))
  const close = async () => {
    // Waits for the jobs under way.
    await worker.close()
    await anomalies.close()
  }
  return { worker, close }
}

module.exports = { JOB_OPTIONS, startWorker }

if (require.main === module) {
  const { close } = startWorker({ url: process.env.REDIS_URL ?? 'redis://localhost:6379' })
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, close)
}
