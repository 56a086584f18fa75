#!/usr/bin/env node
/**
 * Measures the product against what one would take instead: the same weights, texts and number of
 * threads, interleaved rounds, each in a fresh process. `--help` has the options.
 */

const { spawn } = require('node:child_process')
const { writeFileSync } = require('node:fs')
const os = require('node:os')
const { join } = require('node:path')
const { setTimeout: sleep } = require('node:timers/promises')
const { parseArgs } = require('node:util')
const { LIST, WEIGHT_MEGABYTES, figures, scenarios, sum } = require('./measures.js')
const { WORK, prepare, run } = require('./prepare.js')
const { compare, describeMachine, writeReport } = require('./report.js')

const HELP = `npm run bench -- [options]

  --quick            2 rounds instead of 5, and fewer texts for the comparison of the scores
  --rounds N
  --only NAMES       scenarios, of: alone-16,alone-64,alone-256,list,loop,concurrent,start
  --threads 1,2
  --no-python        without Python transformers
  --no-candle        without candle-transformers
  --python FILE      an interpreter that has requirements.txt; else a venv is made (needs Python 3.11)
  --results FILE     default: benchmark/RESULTS.md, or benchmark/.work/RESULTS.md if not all is measured
`

/** A subject that takes longer than so many seconds for a round of a scenario has so many rounds of it. */
const PATIENCE = { seconds: 20, rounds: 2 }

/** A round begins when others keep the processors busy for less than this share, or after so many seconds. */
const QUIET = { share: 0.05, seconds: 20 }

/**
 * @typedef {import('./measures.js').Answer} Answer
 * @typedef {import('./measures.js').Precision} Precision
 * @typedef {object} Subject
 * @property {string} name
 * @property {Precision} precision
 * @property {string[]} command
 * @property {boolean} [product]
 * @property {boolean} [concurrent] whether it has calls that can wait side by side
 * @property {{ max?: number, mean?: number, changed?: number }} tolerance how far its scores may be from the
 *   reference: at most, on average, and in the share of decisions
 *
 * @typedef {{ subject: Subject, threads: number, scenario: string, answer: Answer, quiet: boolean }} Round
 */

/** @param {Awaited<ReturnType<typeof prepare>>} ready @param {{ python: boolean, candle: boolean }} wanted @returns {Subject[]} */
function subjects({ python, native }, wanted) {
  const child = (/** @type {string} */ name) => [process.execPath, join(__dirname, 'subjects', 'run.js'), name]
  // Rounding to 8 bits costs something, more or less, as it is done with more or less care.
  const int8 = { precision: /** @type {const} */ ('int8'), tolerance: { mean: 0.005 } }
  const f32 = { precision: /** @type {const} */ ('f32'), tolerance: { max: 1e-5 } }
  const peer = { name: 'transformers.js', command: child('transformersjs'), concurrent: true }
  const product = { name: 'ours', command: child('ours'), concurrent: true, product: true }
  return [
    // Its scores come rounded to 4 decimals.
    { ...product, ...f32, tolerance: { max: 1e-5 + 5e-5 } },
    { ...peer, ...f32 },
    { ...product, ...int8, tolerance: { ...int8.tolerance, changed: 1 / 200 } },
    { ...peer, ...int8 },
    // Its GELU is another one, the tanh approximation.
    ...(wanted.candle ? [{ name: 'candle', ...f32, command: [native['bench-candle']], tolerance: { max: 1e-3 } }] : []),
    ...(wanted.python ? [{ name: 'Python', ...f32, command: [python, join(__dirname, 'subjects', 'python.py')] }] : []),
  ]
}

/**
 * One round of a subject in a process of its own.
 *
 * @param {Subject} subject @param {import('./subjects/run.js').Request} request @returns {Promise<Answer>}
 */
function ask({ command: [program, ...args], name, precision }, request) {
  const threads = String(request.threads)
  const env = {
    ...process.env,
    RAYON_NUM_THREADS: threads,
    OMP_NUM_THREADS: threads,
    MKL_NUM_THREADS: threads,
    TOKENIZERS_PARALLELISM: 'false',
    HF_HUB_OFFLINE: '1',
  }
  return new Promise((resolve, reject) => {
    const start = performance.now()
    const child = spawn(program, args, { env, stdio: 'pipe' })
    let [output, complaint, start_ms] = ['', '', 0]
    child.stdout.setEncoding('utf8').on('data', (chunk) => {
      start_ms ||= performance.now() - start
      output += chunk
    })
    child.stderr.setEncoding('utf8').on('data', (chunk) => {
      complaint += chunk
    })
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) return resolve({ ...JSON.parse(output), start_ms })
      reject(new Error(`${name} ${precision} failed with ${code}: ${complaint.trim()}`))
    })
    child.stdin.on('error', () => {}).end(JSON.stringify(request))
  })
}

/** Waits until nobody else is at work, and says whether that came. */
async function untilQuiet() {
  const times = () => {
    const all = os.cpus().flatMap(({ times }) => Object.values(times))
    return { all: sum(all), idle: sum(os.cpus().map(({ times }) => times.idle)) }
  }
  for (const end = performance.now() + QUIET.seconds * 1000; performance.now() < end; ) {
    const before = times()
    await sleep(300)
    const after = times()
    if (after.idle - before.idle >= (1 - QUIET.share) * (after.all - before.all)) return true
  }
  return false
}

/** @param {string[]} args */
function readOptions(args) {
  const { values } = parseArgs({
    args,
    options: {
      help: { type: 'boolean', short: 'h', default: false },
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      only: { type: 'string' },
      threads: { type: 'string' },
      'no-python': { type: 'boolean', default: false },
      'no-candle': { type: 'boolean', default: false },
      python: { type: 'string' },
      results: { type: 'string' },
    },
  })
  // What says where things are on this machine does not change what is measured.
  const { python, results, ...measured } = values
  const shown = Object.entries(measured).flatMap(([name, value]) =>
    value === true ? [`--${name}`] : value ? [`--${name} ${value}`] : [],
  )
  return {
    ...values,
    rounds: Number(values.rounds ?? (values.quick ? 2 : 5)),
    threadCounts: (values.threads ?? '1,2').split(',').map(Number),
    command: ['npm run bench', ...(shown.length ? ['--', ...shown] : [])].join(' '),
    results: results ?? join(shown.length ? WORK : __dirname, 'RESULTS.md'),
  }
}

/**
 * The scores of all who can be measured, one text at a time.
 *
 * @param {Subject[]} subjects @param {(subject: Subject) => Promise<Answer>} score
 */
async function scoreAll(subjects, score) {
  /** @type {{ subject: Subject, scores: number[] }[]} */
  const scored = []
  for (const subject of subjects) {
    try {
      scored.push({ subject, scores: (await score(subject)).scores })
      console.error(`  ${subject.name} ${subject.precision}`)
    } catch (error) {
      // The peers alone are of use while the product is being worked on.
      console.error(`  ${error instanceof Error ? error.message : error}\n  It goes on without.`)
      process.exitCode = 1
    }
  }
  return scored
}

/**
 * All rounds, the subjects in turn.
 *
 * @param {{ rounds: number, names: string[], threadCounts: number[], subjects: Subject[] }} plan
 * @param {(scenario: string, threads: number, subject: Subject) => Promise<Answer>} measure
 */
async function measureAll({ rounds, names, threadCounts, subjects }, measure) {
  /** @type {Round[]} */
  const done = []
  for (let round = 1; round <= rounds; round++) {
    for (const scenario of names) {
      for (const threads of threadCounts) {
        for (const subject of subjects) {
          if (scenario === 'concurrent' && !subject.concurrent) continue
          const same = done.filter((other) => other.subject === subject && other.threads === threads)
          const before = same.filter((other) => other.scenario === scenario)
          const slow = before.some(({ answer }) => answer.start_ms > PATIENCE.seconds * 1000)
          if (slow && before.length >= PATIENCE.rounds) continue
          const quiet = await untilQuiet()
          const answer = await measure(scenario, threads, subject)
          done.push({ subject, threads, scenario, answer, quiet })
          const what = `${scenario}, threads: ${threads}, ${subject.name} ${subject.precision}`
          console.error(
            `  round ${round} of ${rounds}: ${what}: ${(answer.start_ms / 1000).toFixed(1)} s${quiet ? '' : ' (on a busy machine)'}`,
          )
        }
      }
    }
  }
  return done
}

/** @param {ReturnType<typeof readOptions>} options */
async function bench(options) {
  const { command, only, quick, results, rounds, threadCounts } = options
  const ready = prepare(options.python)
  const { lengths, lines } = ready.texts
  const all = scenarios(ready.texts)
  const names = only?.split(',') ?? Object.keys(all)
  for (const name of names) if (!all[name]) throw new Error(`there is no scenario ${name}; see --help`)

  console.error('> measuring the limits of this machine')
  await untilQuiet()
  const megabytes = [8, WEIGHT_MEGABYTES.int8, WEIGHT_MEGABYTES.f32, 512]
  const limits = JSON.parse(run(ready.native['bench-limits'], [JSON.stringify({ threads: threadCounts, megabytes })]))

  console.error('> comparing the scores')
  const texts = [
    ...lines.slice(0, quick ? LIST : lines.length).map(({ text }) => text),
    ...Object.values(lengths).flat(),
  ]
  const wanted = { python: !options['no-python'], candle: !options['no-candle'] }
  const request = (/** @type {Subject} */ { precision }) => ({ model: ready.model, precision })
  const scored = await scoreAll(subjects(ready, wanted), (subject) =>
    ask(subject, { ...request(subject), threads: 1, mode: 'each', texts, warmUp: 0 }),
  )
  const agreement = compare(scored)
  console.error(`\n${agreement.text}\n`)
  if (!agreement.ok) throw new Error('the scores do not agree, so the times would mean nothing')

  console.error('> measuring')
  const plan = { rounds, names, threadCounts, subjects: scored.map(({ subject }) => subject) }
  const done = await measureAll(plan, (scenario, threads, subject) =>
    ask(subject, { ...request(subject), threads, ...all[scenario](subject.product ?? false) }),
  )

  const report = writeReport({
    machine: describeMachine(ready.python, options['no-python']),
    command,
    rounds,
    limits,
    agreement: agreement.text,
    figures: figures(ready.texts).filter(({ scenario }) => names.includes(scenario)),
    threadCounts,
    done,
    subjects: plan.subjects,
  })
  writeFileSync(results, report)
  console.log(report)
  console.error(`> written to ${results}`)
}

async function main() {
  const options = readOptions(process.argv.slice(2))
  if (options.help) console.log(HELP)
  else await bench(options)
}

main().catch((error) => {
  console.error(`bench: ${error.message}`)
  process.exitCode = 1
})
