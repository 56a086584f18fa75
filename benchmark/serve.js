#!/usr/bin/env node
/**
 * Measures the HTTP service against the one that it replaces, FastAPI on Python transformers with one uvicorn worker:
 * 64 connections that send single lines, then lists. `--help` has the options.
 */

const { spawn } = require('node:child_process')
const http = require('node:http')
const { createServer } = require('node:net')
const { join } = require('node:path')
const { setTimeout: sleep } = require('node:timers/promises')
const { parseArgs } = require('node:util')
const { buildProgram } = require('../scripts/program.js')
const { describeMachine, untilQuiet } = require('./machine.js')
const { WEIGHT_MEGABYTES, limit, median, quantile, sum } = require('./measures.js')
const { WORK, prepare, run } = require('./prepare.js')
const { short, table, writePart } = require('./report.js')

const HELP = `npm run bench:serve -- [options]

  --rounds N         interleaved, each in fresh processes; default 3
  --threads 1,2
  --python FILE      an interpreter that has requirements.txt; else a venv is made (needs Python 3.11)
  --results FILE     default: benchmark/RESULTS.md, or benchmark/.work/RESULTS.md if an option is given
`

const CONNECTIONS = 64
/** Lines of one request to /analyze-batch. */
const LIST = 16
/** Requests of one round, of ours and of the service's. */
const REQUESTS = { single: { ours: 768, python: 256 }, list: { ours: 96, python: 64 } }
/** How many times as many lines a second ours should do. */
const BARS = { f32: 3, int8: 8 }

/**
 * @typedef {{ name: string, precision: 'f32' | 'int8', start: (threads: number, port: number) => import('node:child_process').ChildProcess }} Service
 * @typedef {{ rate: number, times_ms: number[], scores: number[] }} Outcome
 * @typedef {{ service: Service, threads: number, kind: 'single' | 'list', outcomes: Outcome[] }} Run
 */

/** @returns {Promise<number>} a port that nobody listens on */
function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
      server.close(() => resolve(port))
    })
  })
}

/**
 * Starts a command on as many processors as it is to have threads: FastAPI computes several requests at once, each with
 * all of torch's threads, and would otherwise have the whole machine with one.
 *
 * @param {number} threads @param {string} command @param {string[]} args @param {import('node:child_process').SpawnOptions} options
 */
function spawnOn(threads, command, args, options) {
  if (process.platform !== 'linux') return spawn(command, args, options)
  return spawn('taskset', ['--cpu-list', `0-${threads - 1}`, command, ...args], options)
}

/** @param {{ model: string, python: string }} ready @returns {Service[]} */
function services({ model, python }) {
  const program = buildProgram()
  const ours = (/** @type {'f32' | 'int8'} */ precision) => ({
    name: 'ours',
    precision,
    start: (/** @type {number} */ threads, /** @type {number} */ port) => {
      const limits = ['--max-body-bytes', '16777216', '--cache-size', '0']
      const args = [
        'serve',
        '--model',
        model,
        '--precision',
        precision,
        '--threads',
        String(threads),
        '--port',
        String(port),
      ]
      return spawnOn(threads, program, [...args, ...limits], { stdio: 'ignore' })
    },
  })
  return [
    ours('f32'),
    ours('int8'),
    {
      name: 'FastAPI',
      precision: 'f32',
      start: (threads, port) =>
        spawnOn(
          threads,
          python,
          ['-m', 'uvicorn', 'service:app', '--port', String(port), '--workers', '1', '--log-level', 'error'],
          {
            cwd: join(__dirname, 'subjects'),
            env: {
              ...process.env,
              MODEL: model,
              THREADS: String(threads),
              OMP_NUM_THREADS: String(threads),
              TOKENIZERS_PARALLELISM: 'false',
              HF_HUB_OFFLINE: '1',
            },
            stdio: ['ignore', 'ignore', 'inherit'],
          },
        ),
    },
  ]
}

/**
 * @param {http.Agent} agent @param {number} port @param {string} path @param {string} [body]
 * @returns {Promise<{ status: number, body: string }>}
 */
function send(agent, port, path, body) {
  return new Promise((resolve, reject) => {
    const headers =
      body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const method = body === undefined ? 'GET' : 'POST'
    const request = http.request({ agent, port, host: '127.0.0.1', method, path, headers }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk) => {
        text += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }))
    })
    request.on('error', reject).end(body)
  })
}

/** @param {string[][]} lists the lines of each request @param {'single' | 'list'} kind @param {number} port @returns {Promise<Outcome>} */
async function load(lists, kind, port) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: CONNECTIONS })
  /** @type {number[]} */
  const times_ms = []
  /** @type {number[][]} */
  const scores = []
  let next = 0
  const client = async () => {
    while (next < lists.length) {
      const index = next++
      const entries = lists[index].map((log_text, log_id) => ({ log_id, log_text }))
      const start = performance.now()
      const [path, value] = kind === 'single' ? ['/analyze-log', entries[0]] : ['/analyze-batch', entries]
      const { status, body } = await send(agent, port, path, JSON.stringify(value))
      times_ms.push(performance.now() - start)
      if (status !== 200) throw new Error(`${path} answered ${status}: ${body}`)
      scores[index] = [JSON.parse(body)].flat().map(({ anomaly_score }) => anomaly_score)
    }
  }
  const start = performance.now()
  await Promise.all(Array.from({ length: CONNECTIONS }, client))
  const seconds = (performance.now() - start) / 1000
  agent.destroy()
  return { rate: sum(lists.map((list) => list.length)) / seconds, times_ms, scores: scores.flat() }
}

/** @param {Service} service @param {number} threads @param {(port: number) => Promise<void>} use */
async function during(service, threads, use) {
  const port = await freePort()
  const child = service.start(threads, port)
  try {
    const agent = new http.Agent()
    const path = service.name === 'ours' ? '/ready' : '/health'
    for (let tries = 0; ; tries++) {
      const { status } = await send(agent, port, path).catch(() => ({ status: 0 }))
      if (status === 200) break
      if (tries > 600 || child.exitCode !== null) throw new Error(`${service.name} does not start`)
      await sleep(100)
    }
    await use(port)
  } finally {
    child.kill('SIGKILL')
  }
}

async function main() {
  const { values } = parseArgs({
    options: {
      help: { type: 'boolean', short: 'h', default: false },
      rounds: { type: 'string' },
      threads: { type: 'string' },
      python: { type: 'string' },
      results: { type: 'string' },
    },
  })
  if (values.help) return console.log(HELP)
  const shown = ['rounds', 'threads'].flatMap((name) => {
    const value = values[/** @type {'rounds'} */ (name)]
    return value ? [`--${name} ${value}`] : []
  })
  const rounds = Number(values.rounds ?? 3)
  const threadCounts = (values.threads ?? '1,2').split(',').map(Number)
  const ready = prepare(values.python)
  const { lines } = ready.texts
  const megabytes = [8, WEIGHT_MEGABYTES.int8, WEIGHT_MEGABYTES.f32, 512]
  const limits = JSON.parse(
    run(ready.native['bench-limits'], [JSON.stringify({ threads: threadCounts, megabytes })]),
  ).limits
  const all = services(ready)

  /** @type {Run[]} */
  const runs = []
  for (let round = 1; round <= rounds; round++) {
    for (const threads of threadCounts) {
      for (const service of all) {
        await untilQuiet()
        await during(service, threads, async (port) => {
          // What the first requests cost is no part of it.
          await load(
            lines.slice(0, 4).map(({ text }) => [text]),
            'single',
            port,
          )
          for (const kind of /** @type {const} */ (['single', 'list'])) {
            const count = REQUESTS[kind][service.name === 'ours' ? 'ours' : 'python']
            const length = kind === 'single' ? 1 : LIST
            const line = (/** @type {number} */ index) => `${lines[index % lines.length].text} #${index}`
            const lists = Array.from({ length: count }, (_, request) =>
              Array.from({ length }, (_, index) => line(request * length + index)),
            )
            const outcome = await load(lists, kind, port)
            let run = runs.find((run) => run.service === service && run.threads === threads && run.kind === kind)
            if (!run) {
              run = { service, threads, kind, outcomes: [] }
              runs.push(run)
            }
            run.outcomes.push(outcome)
            console.error(
              `  round ${round} of ${rounds}: threads: ${threads}, ${service.name} ${service.precision}, ${kind}: ${outcome.rate.toFixed(1)} logs/s`,
            )
          }
        })
      }
    }
  }

  const tokens = lines.map((line) => line.tokens)
  const rows = runs.map(({ service, threads, kind, outcomes }) => {
    const python = runs.find((run) => run.threads === threads && run.kind === kind && run.service.name === 'FastAPI')
    const rate = median(outcomes.map((outcome) => outcome.rate))
    const theirs = python ? median(python.outcomes.map((outcome) => outcome.rate)) : Number.NaN
    const differences = outcomes[0].scores.map((score, index) =>
      Math.abs(score - (python?.outcomes[0].scores[index] ?? score)),
    )
    const mean = sum(differences) / differences.length
    if (!(mean < 0.01)) throw new Error(`${service.name} ${service.precision} differs by ${mean} on average`)
    const machine = limits.find((/** @type {{ threads: number }} */ limits) => limits.threads === threads)
    const least = limit(machine, service.precision, tokens) / tokens.length
    const times_ms = outcomes.flatMap((outcome) => outcome.times_ms)
    const faster = service.name === 'ours' ? rate / theirs : undefined
    const bar = BARS[service.precision]
    return [
      `${service.name} ${service.precision}, ${threads} thread${threads > 1 ? 's' : ''}, ${kind === 'single' ? '/analyze-log' : `/analyze-batch of ${LIST}`}`,
      `${short(rate)} ×${(1000 / rate / least).toFixed(1)}`,
      faster === undefined ? '–' : `${short(faster)} (bar ${bar}: ${faster >= bar ? 'reached' : '**not reached**'})`,
      `${short(median(times_ms))} / ${short(quantile(times_ms, 0.99))}`,
      mean.toExponential(1),
    ]
  })
  const report = `${[
    '# The service',
    `Made by \`${['npm run bench:serve', ...(shown.length ? ['--', ...shown] : [])].join(' ')}\`: ${CONNECTIONS} connections to the service ` +
      'and to the one that it replaces (FastAPI, Python transformers, one uvicorn worker: benchmark/subjects/service.py), with the model and ' +
      `the lines of the benchmark above, no two alike, no cache. On Linux each has as many processors as threads. Medians of ${rounds} interleaved rounds, each in a fresh process; latencies ` +
      'over all of them; after × how many times the limit of the machine it takes. The client runs on the same machine.',
    table(['', ''], describeMachine(ready.python, false)),
    table(['', 'logs/s', 'faster than FastAPI', 'latency p50 / p99, ms', 'mean difference of the scores'], rows),
  ].join('\n\n')}\n`
  const file = values.results ?? join(shown.length ? WORK : __dirname, 'RESULTS.md')
  writePart(file, report)
  console.log(report)
  console.error(`> written to ${file}`)
}

main().catch((error) => {
  console.error(`bench:serve: ${error.message}`)
  process.exitCode = 1
})
