#!/usr/bin/env node
/** Measures each family of models against Python transformers. `--help` has the options. */

const { rmSync } = require('node:fs')
const { join } = require('node:path')
const { parseArgs } = require('node:util')
const { describeMachine, untilQuiet } = require('./machine.js')
const { median, sum } = require('./measures.js')
const { WORK, prepare, run } = require('./prepare.js')
const { short, table, writePart } = require('./report.js')
const { ask, subjects } = require('./subject.js')

const HELP = `npm run bench:families -- [options]

  --lines N          lines to score one after the other; default 48
  --rounds N         interleaved, each in a fresh process; default 3
  --threads N        default 1
  --only LIST        of families
  --python FILE      an interpreter that has requirements.txt; else a venv is made
  --results FILE     default: benchmark/RESULTS.md, or benchmark/.work/RESULTS.md if an option is given
`

/** The model of each, in the size that is called base; and who computes it here. */
const FAMILIES = {
  distilbert: 'engine',
  bert: 'engine',
  roberta: 'engine',
  'xlm-roberta': 'engine',
  camembert: 'engine',
  electra: 'engine',
  modernbert: 'candle',
  'deberta-v2': 'candle',
}

/** Scores of ours come rounded to 4 decimals. */
const TOLERANCE = 1e-4

/** @typedef {import('./measures.js').Answer} Answer */

/**
 * The answers of all rounds, by name and precision.
 *
 * @param {string} model @param {import('./subject.js').Subject[]} who @param {string[]} texts
 * @param {{ rounds: number, threads: number }} options
 */
async function measure(model, who, texts, { rounds, threads }) {
  /** @type {Record<string, Answer[]>} */
  const answers = {}
  for (let round = 1; round <= rounds; round++) {
    for (const subject of who) {
      await untilQuiet()
      const { precision } = subject
      const answer = await ask(subject, { model, precision, threads, mode: 'each', texts, warmUp: 4 })
      answers[`${subject.name} ${precision}`] ??= []
      answers[`${subject.name} ${precision}`].push(answer)
    }
  }
  return answers
}

/** Texts a second, the median of the rounds. @param {Answer[]} answers */
const rate = (answers) => median(answers.map(({ scores, times_ms }) => (1000 * scores.length) / sum(times_ms)))

/** How far apart the scores are at most, and on average. @param {Answer[]} ours @param {Answer[]} theirs */
function differences(ours, theirs) {
  const apart = ours[0].scores.map((score, index) => Math.abs(score - theirs[0].scores[index]))
  return { most: Math.max(...apart), mean: sum(apart) / apart.length }
}

async function main() {
  const { values } = parseArgs({
    options: {
      help: { type: 'boolean', short: 'h', default: false },
      lines: { type: 'string' },
      rounds: { type: 'string' },
      threads: { type: 'string' },
      only: { type: 'string' },
      python: { type: 'string' },
      results: { type: 'string' },
    },
  })
  if (values.help) return console.log(HELP)
  const { results, python: own, help: _, ...chosen } = values
  const shown = Object.entries(chosen).map(([name, value]) => `--${name} ${value}`)
  const options = { rounds: Number(values.rounds ?? 3), threads: Number(values.threads ?? 1) }

  const ready = prepare(own)
  const texts = ready.texts.lines.slice(0, Number(values.lines ?? 48)).map(({ text }) => text)
  const all = subjects(ready, { python: true, candle: false }).filter(({ name }) => name !== 'transformers.js')
  const rows = []
  for (const [family, computer] of Object.entries(FAMILIES)) {
    if (values.only && !values.only.split(',').includes(family)) continue
    const model = join(WORK, `family-${family}`)
    run(ready.python, ['make_family.py', family, model])
    // What candle computes has no int8.
    const who = all.filter(({ precision }) => computer === 'engine' || precision === 'f32')
    const { 'ours f32': exact, 'ours int8': int8, 'Python f32': python } = await measure(model, who, texts, options)
    rmSync(model, { recursive: true })
    const { most } = differences(exact, python)
    if (!(most < TOLERANCE)) throw new Error(`${family}: scores are up to ${most} from Python's`)
    const faster = (/** @type {Answer[]} */ ours) => short(rate(ours) / rate(python))
    const row = [
      `\`${family}\``,
      computer === 'engine' ? 'the engine' : 'candle-transformers',
      short(rate(python)),
      short(rate(exact)),
      faster(exact),
      int8 ? short(rate(int8)) : '–',
      int8 ? faster(int8) : '–',
      int8 ? differences(int8, python).mean.toExponential(1) : '–',
    ]
    console.error(`> ${row.join(' | ')}`)
    rows.push(row)
  }
  const heading = ['family', 'computed by', 'Python, logs/s', 'f32, logs/s', 'faster', 'int8, logs/s', 'faster']
  const report = `${[
    '# Families',
    `Made by \`${['npm run bench:families', ...(shown.length ? ['--', ...shown] : [])].join(' ')}\`: ${texts.length} lines of mixed ` +
      'length, one after the other, by models of the size that is called base (12 blocks of 768; 6 of DistilBERT, 22 of ' +
      'ModernBERT) with random weights and one tokenizer for all. Python transformers computes in f32; its scores were ' +
      `compared first. Medians of ${options.rounds} interleaved rounds on ${options.threads} thread(s), each in a fresh process.`,
    table(['', ''], describeMachine(ready.python, true)),
    table([...heading, 'int8: mean difference of the scores'], rows),
  ].join('\n\n')}\n`
  const file = results ?? join(shown.length ? WORK : __dirname, 'RESULTS.md')
  writePart(file, report)
  console.log(report)
  console.error(`> written to ${file}`)
}

main().catch((error) => {
  console.error(`bench:families: ${error.message}`)
  process.exitCode = 1
})
