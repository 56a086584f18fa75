/** What came out, in Markdown. */

const { existsSync, readFileSync, writeFileSync } = require('node:fs')
const { SCALING, limit, median, sum } = require('./measures.js')

/**
 * @typedef {import('./subject.js').Subject} Subject
 * @typedef {import('./bench.js').Round} Round
 * @typedef {import('./measures.js').Figure} Figure
 * @typedef {{ threads: number, f32: number, int8: number, read: Record<string, number> }} Limits
 * @typedef {object} Results
 * @property {[string, string][]} machine
 * @property {string} command
 * @property {number} rounds
 * @property {{ instructions: string, limits: Limits[] }} limits
 * @property {string} agreement
 * @property {Figure[]} figures
 * @property {number[]} threadCounts
 * @property {Round[]} done
 * @property {Subject[]} subjects
 */

const THRESHOLD = 0.7
const PEER = 'transformers.js'

/** @param {string[]} heading @param {string[][]} rows */
function table(heading, rows) {
  const line = (/** @type {string[]} */ cells) => `| ${cells.join(' | ')} |`
  return [line(heading), line(heading.map((_, column) => (column ? '--:' : '---'))), ...rows.map(line)].join('\n')
}

/** Three significant digits, and thousands in groups. @param {number} value */
function short(value) {
  return value >= 100 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(3)))
}

/**
 * How far each subject's scores are from the reference: Python's, or in its absence the f32 peer's.
 *
 * @param {{ subject: Subject, scores: number[] }[]} scored
 */
function compare(scored) {
  const exact = scored.filter(({ subject }) => subject.precision === 'f32')
  const reference =
    exact.find(({ subject }) => subject.name === 'Python') ?? exact.find(({ subject }) => subject.name === PEER)
  if (!reference) throw new Error('there is no reference for the scores')
  const near = reference.scores.filter((score) => Math.abs(score - THRESHOLD) < 0.1).length
  let ok = true
  const rows = scored.map(({ subject, scores }) => {
    const differences = scores.map((score, index) => Math.abs(score - reference.scores[index]))
    const flips = scores.filter((score, index) => score >= THRESHOLD !== reference.scores[index] >= THRESHOLD).length
    const found = {
      max: Math.max(...differences),
      mean: sum(differences) / scores.length,
      changed: flips / scores.length,
    }
    const bars = /** @type {(keyof typeof found)[]} */ (Object.keys(subject.tolerance))
    const agrees = bars.every((name) => found[name] <= /** @type {number} */ (subject.tolerance[name]))
    ok &&= agrees
    const allowed = bars.map((name) => `${name} ${subject.tolerance[name]}`).join(', ')
    const cells = [found.mean.toExponential(1), found.max.toExponential(1), `${flips} of ${scores.length}`]
    return [`${subject.name} ${subject.precision}`, ...cells, `${allowed}: ${agrees ? 'yes' : '**no**'}`]
  })
  const [lowest, highest] = [Math.min(...reference.scores), Math.max(...reference.scores)]
  const text = [
    `${reference.scores.length} texts, each scored alone; scores from ${lowest.toFixed(2)} to ${highest.toFixed(2)}, ` +
      `${Math.round((100 * near) / reference.scores.length)} % within 0.1 of the threshold ${THRESHOLD}. ` +
      `Differences to ${reference.subject.name} ${reference.subject.precision}:`,
    table(['', 'mean', 'largest', 'decisions changed', 'within'], rows),
  ].join('\n\n')
  return { ok, text }
}

/** @param {Results} results */
function writeReport(results) {
  const { machine, command, rounds, limits, agreement, threadCounts, subjects, done } = results
  const precisions = [...new Set(subjects.map(({ precision }) => precision))]
  const measured = threadCounts.flatMap((threads) =>
    precisions.map(
      (precision) =>
        `### ${precision}, ${threads} thread${threads > 1 ? 's' : ''}\n\n${figureTable(results, threads, precision)}`,
    ),
  )
  return `${[
    '# Benchmark results',
    `Made by \`${command}\`: ${rounds} interleaved rounds, each subject in a fresh process each time, fewer where one takes long. ` +
      'A full-size DistilBERT with random weights, the same weights and texts for all, no cache.',
    table(['', ''], machine),
    '## Do all agree?',
    agreement,
    'candle-transformers computes another GELU (the tanh approximation). int8 is compared on what it costs, not on being equal.',
    '## Figures',
    'Medians over the rounds, [lowest to highest], and after × how many times the limit of this machine (below) it takes. ' +
      '*faster* compares ours with transformers.js. ' +
      `${done.filter(({ quiet }) => !quiet).length} of ${done.length} processes began while others kept the machine busy.`,
    ...measured,
    ...scaling(results),
    '## Limits of this machine',
    `${limits.instructions}. A forward pass takes at least the time for its multiply-adds at the rates below (the last block's ` +
      'for the first token only, attention in f32), or to read its weights once. Peak rates of registers alone: no program gets ×1.',
    limitTable(limits.limits),
  ].join('\n\n')}\n`
}

/** @param {Results} results @param {number} threads @param {import('./measures.js').Precision} precision */
function figureTable({ figures, done, limits, subjects }, threads, precision) {
  const columns = subjects.filter((subject) => subject.precision === precision).map(({ name }) => name)
  const machine = /** @type {Limits} */ (limits.limits.find((limits) => limits.threads === threads))
  const rows = figures.map((figure) => {
    const values = new Map(columns.map((name) => [name, valuesOf(done, figure, threads, precision, name)]))
    const cell = (/** @type {string} */ name) => {
      const found = values.get(name) ?? []
      if (!found.length) return '–'
      const middle = median(found)
      const range = `${short(middle)} [${short(Math.min(...found))} to ${short(Math.max(...found))}]`
      if (!figure.tokens) return range
      const least = limit(machine, precision, figure.tokens)
      const time = figure.unit === 'ms' ? middle : (1000 * figure.tokens.length) / middle
      return `${range} ×${(time / least).toFixed(1)}`
    }
    const [ours, peer] = ['ours', PEER].map((name) => values.get(name) ?? [])
    return [
      `${figure.title}, ${figure.unit}`,
      ...columns.map(cell),
      ...verdict(
        figure,
        precision,
        threads,
        ours.length ? median(ours) : undefined,
        peer.length ? median(peer) : undefined,
      ),
    ]
  })
  return table(['', ...columns, 'faster', 'bar'], rows)
}

/**
 * @param {Figure} figure @param {import('./measures.js').Precision} precision @param {number} threads
 * @param {number} [ours] @param {number} [peer]
 */
function verdict(figure, precision, threads, ours, peer) {
  if (ours === undefined || peer === undefined) return ['–', '–']
  const ratio = figure.unit === 'logs/s' ? ours / peer : peer / ours
  const applies = !figure.threads || figure.threads.includes(threads)
  const reached = (/** @type {boolean} */ yes) => (yes ? 'reached' : '**not reached**')
  const [faster, atMost] = [figure.faster?.[precision], figure.atMost?.[precision]]
  let bar = '–'
  if (applies && faster) bar = `${faster}: ${reached(ratio >= faster)}`
  if (applies && atMost) bar = `at most ${atMost}: ${reached(ours <= atMost)}`
  return [`${short(ratio)}`, bar]
}

/**
 * A figure of each round.
 *
 * @param {Round[]} done @param {Figure} figure @param {number} threads
 * @param {import('./measures.js').Precision} precision @param {string} name
 */
function valuesOf(done, figure, threads, precision, name) {
  return done
    .filter(({ subject }) => subject.name === name && subject.precision === precision)
    .filter((round) => round.threads === threads && round.scenario === figure.scenario)
    .flatMap(({ answer }) => figure.of(answer) ?? [])
}

/** @param {Results} results */
function scaling({ figures, done, limits, threadCounts, subjects }) {
  const figure = figures.find(({ scenario }) => scenario === 'list')
  if (!figure || !threadCounts.includes(1) || !threadCounts.includes(2)) return []
  const rows = subjects.map(({ name, precision, product }) => {
    const [one, two] = [1, 2].map((threads) => median(valuesOf(done, figure, threads, precision, name)))
    const times = two / one
    const bar = product ? `${SCALING}: ${times >= SCALING ? 'reached' : '**not reached**'}` : '–'
    return [`${name} ${precision}`, short(times), bar]
  })
  const [one, two] = [1, 2].map((threads) => limits.limits.find((limits) => limits.threads === threads))
  if (one && two) rows.push(['the machine, f32 multiply-adds', short(two.f32 / one.f32), '–'])
  return ['### The list in one call, throughput of 2 threads over that of 1', table(['', 'times', 'bar'], rows)]
}

/** @param {Limits[]} limits */
function limitTable(limits) {
  const giga = (/** @type {number} */ value) => short(value / 1e9)
  const rows = limits.map(({ threads, f32, int8, read }) => [
    String(threads),
    ...[f32, int8, ...Object.values(read)].map(giga),
  ])
  const reads = Object.keys(limits[0].read).map((megabytes) => `reads of ${megabytes} MB, GB/s`)
  return table(['threads', 'f32, 10⁹ multiply-adds/s', 'int8, 10⁹ multiply-adds/s', ...reads], rows)
}

/**
 * Puts a report into a file that holds several, in place of the one with the same heading.
 *
 * @param {string} file @param {string} report
 */
function writePart(file, report) {
  const parts = existsSync(file) ? readFileSync(file, 'utf8').split(/^(?=# )/m) : []
  const heading = (/** @type {string} */ text) => text.split('\n', 1)[0]
  const place = parts.findIndex((part) => heading(part) === heading(report))
  parts.splice(place < 0 ? parts.length : place, place < 0 ? 0 : 1, report)
  writeFileSync(file, `${parts.map((part) => part.trim()).join('\n\n')}\n`)
}

module.exports = { compare, short, table, writePart, writeReport }
