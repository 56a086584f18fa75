#!/usr/bin/env node
/**
 * Measures a busy backend: many callers at once, each of whom scores a line, waits for its answer and goes on with the
 * next, while the same process reads files and looks up names. `--help` has the options.
 */

const { join } = require('node:path')
const { parseArgs } = require('node:util')
const { describeMachine, untilQuiet } = require('./machine.js')
const { median, quantile, sum } = require('./measures.js')
const { WORK, prepare } = require('./prepare.js')
const { short, table, writePart } = require('./report.js')
const { ask, subjects } = require('./subject.js')

const HELP = `npm run bench:load -- [options]

  --calls N          over all levels and rounds, for each number of threads; default 10000. The peers make a quarter
  --rounds N         interleaved, each in a fresh process; default 3
  --levels LIST      concurrent callers; default 1,10,100,1000
  --threads 1,2
  --only PRECISION   f32 or int8
  --python FILE      an interpreter that has requirements.txt, to make the model; else a venv is made
  --results FILE     default: benchmark/RESULTS.md, or benchmark/.work/RESULTS.md if an option is given
`

/** Ours over transformers.js in throughput with 1,000 callers, and what the process may suffer meanwhile. */
const BARS = { callers: 1000, faster: { f32: 1.5, int8: 2 }, loop_ms: 5, system_ms: 20 }

/**
 * @typedef {import('./subject.js').Subject} Subject
 * @typedef {{ subject: Subject, threads: number, callers: number, answers: import('./measures.js').Answer[] }} Run
 */

/** The calls of each level: more where more callers share them, and enough for each of them. */
function callsOf(/** @type {number[]} */ levels, /** @type {number} */ calls) {
  const weights = levels.map((callers) => 1 + Math.log10(callers))
  return levels.map((callers, index) => Math.max(callers, Math.round((calls * weights[index]) / sum(weights))))
}

/** @param {Run[]} runs @param {number} threads @param {import('./measures.js').Precision} precision */
function levelTable(runs, threads, precision) {
  const chosen = runs.filter((run) => run.threads === threads && run.subject.precision === precision)
  const rate = (/** @type {Run} */ { answers }) =>
    median(answers.map(({ times_ms, total_ms }) => (1000 * times_ms.length) / /** @type {number} */ (total_ms)))
  const rows = chosen.map((run) => {
    const { subject, callers, answers } = run
    const [times_ms, fs_ms, dns_ms] = /** @type {const} */ (['times_ms', 'fs_ms', 'dns_ms']).map((name) =>
      answers.flatMap((answer) => answer[name] ?? []),
    )
    const loop_ms = {
      p99: median(answers.map((answer) => answer.loop_ms?.p99 ?? NaN)),
      max: Math.max(...answers.map((answer) => answer.loop_ms?.max ?? NaN)),
    }
    const memory = Math.max(...answers.map((answer) => answer.memory.end))
    const peer = chosen.find((other) => other.callers === callers && !other.subject.product)
    const faster = subject.product && peer ? rate(run) / rate(peer) : undefined
    const bar = callers === BARS.callers && faster !== undefined ? BARS.faster[precision] : undefined
    const bounded = (/** @type {number} */ value, /** @type {number} */ most) =>
      short(value) + (subject.product && callers === BARS.callers && value > most ? ` (**bar ${most}**)` : '')
    return [
      `${subject.name}, ${callers.toLocaleString('en')}`,
      times_ms.length.toLocaleString('en'),
      short(rate(run)),
      faster === undefined
        ? '–'
        : short(faster) + (bar ? ` (bar ${bar}: ${faster >= bar ? 'reached' : '**not reached**'})` : ''),
      `${short(median(times_ms))} / ${short(quantile(times_ms, 0.99))}`,
      `${bounded(loop_ms.p99, BARS.loop_ms)} / ${short(loop_ms.max)}`,
      `${short(median(fs_ms))} / ${bounded(quantile(fs_ms, 0.99), BARS.system_ms)}`,
      `${short(median(dns_ms))} / ${bounded(quantile(dns_ms, 0.99), BARS.system_ms)}`,
      memory ? short(memory) : '–',
    ]
  })
  const heading = ['who, callers', 'calls', 'logs/s', 'faster', 'latency p50 / p99, ms', 'event loop p99 / max, ms']
  return table([...heading, 'fs p50 / p99, ms', 'dns p50 / p99, ms', 'peak memory, MiB'], rows)
}

async function main() {
  const { values } = parseArgs({
    options: {
      help: { type: 'boolean', short: 'h', default: false },
      rounds: { type: 'string' },
      calls: { type: 'string' },
      levels: { type: 'string' },
      threads: { type: 'string' },
      only: { type: 'string' },
      python: { type: 'string' },
      results: { type: 'string' },
    },
  })
  if (values.help) return console.log(HELP)
  const { results, python, help: _, ...chosen } = values
  const shown = Object.entries(chosen).map(([name, value]) => `--${name} ${value}`)
  const levels = (values.levels ?? '1,10,100,1000').split(',').map(Number)
  const threadCounts = (values.threads ?? '1,2').split(',').map(Number)
  const calls = callsOf(levels, Number(values.calls ?? 10_000))

  const ready = prepare(python)
  const { lines } = ready.texts
  // No two alike: the product computes equal texts that wait at the same time once.
  const textOf = (/** @type {number} */ index) => `${lines[index % lines.length].text} #${index}`
  const who = subjects(ready, { python: false, candle: false }).filter(
    ({ concurrent, precision }) => concurrent && (!values.only || values.only === precision),
  )
  /** @type {Run[]} */
  const runs = []
  const rounds = Number(values.rounds ?? 3)
  for (let round = 1; round <= rounds; round++) {
    for (const threads of threadCounts) {
      for (const [level, callers] of levels.entries()) {
        for (const subject of who) {
          const share = (subject.product ? 1 : 0.25) / rounds
          const count = Math.max(callers, Math.round(calls[level] * share))
          const texts = Array.from({ length: count }, (_, index) => textOf(index))
          await untilQuiet()
          const request = { model: ready.model, precision: subject.precision, threads, warmUp: 4 }
          const answer = await ask(subject, { ...request, mode: 'load', texts, concurrency: callers })
          let run = runs.find((run) => run.subject === subject && run.threads === threads && run.callers === callers)
          if (!run) {
            run = { subject, threads, callers, answers: [] }
            runs.push(run)
          }
          run.answers.push(answer)
          const perSecond = (1000 * texts.length) / /** @type {number} */ (answer.total_ms)
          const what = `threads: ${threads}, callers: ${callers}, ${subject.name} ${subject.precision}`
          console.error(`  round ${round} of ${rounds}: ${what}: ${perSecond.toFixed(1)} logs/s`)
        }
      }
    }
  }
  checkScores(runs)

  const precisions = [...new Set(who.map(({ precision }) => precision))]
  const tables = threadCounts.flatMap((threads) =>
    precisions.map(
      (precision) =>
        `### Under load: ${precision}, ${threads} thread${threads > 1 ? 's' : ''}\n\n${levelTable(runs, threads, precision)}`,
    ),
  )
  const report = `${[
    '# Under load',
    `Made by \`${['npm run bench:load', ...(shown.length ? ['--', ...shown] : [])].join(' ')}\`: so many callers at once, of whom each ` +
      'scores a line of mixed length, waits for the answer and goes on with the next; no two lines alike, no cache, the ' +
      'model of the benchmark above. Meanwhile the process reads a small file and looks up `localhost` every 10 ms. ' +
      `Medians of ${rounds} interleaved rounds, each in a fresh process, latencies and delays over all of them; the scores of all ` +
      'were compared.',
    table(['', ''], describeMachine(ready.python, true)),
    ...tables,
  ].join('\n\n')}\n`
  const file = results ?? join(shown.length ? WORK : __dirname, 'RESULTS.md')
  writePart(file, report)
  console.log(report)
  console.error(`> written to ${file}`)
}

/** Whoever computes something else cannot be compared. @param {Run[]} runs */
function checkScores(runs) {
  for (const { subject, callers, threads, answers } of runs) {
    const peer = runs.find((run) => run.callers === callers && run.threads === threads && run.subject.name !== 'ours')
    if (!peer) continue
    const [ours, theirs] = [answers[0].scores, peer.answers[0].scores]
    const count = Math.min(ours.length, theirs.length)
    const mean = sum(ours.slice(0, count).map((score, index) => Math.abs(score - theirs[index]))) / count
    if (!(mean < 0.01)) throw new Error(`${subject.name} ${subject.precision} differs by ${mean} on average`)
  }
}

main().catch((error) => {
  console.error(`bench:load: ${error.message}`)
  process.exitCode = 1
})
