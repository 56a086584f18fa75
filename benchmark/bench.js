#!/usr/bin/env node
/**
 * Measures the product against what one would take instead: the same weights, texts and number of
 * threads, interleaved rounds, each in a fresh process. `--help` has the options.
 */

const { join } = require('node:path')
const { parseArgs } = require('node:util')
const { describeMachine, untilQuiet } = require('./machine.js')
const { LIST, WEIGHT_MEGABYTES, figures, scenarios } = require('./measures.js')
const { WORK, prepare, run } = require('./prepare.js')
const { compare, writePart, writeReport } = require('./report.js')
const { ask, subjects } = require('./subject.js')

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

/**
 * @typedef {import('./subject.js').Subject} Subject
 * @typedef {import('./measures.js').Answer} Answer
 * @typedef {{ subject: Subject, threads: number, scenario: string, answer: Answer, quiet: boolean }} Round
 */

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
  writePart(results, report)
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
