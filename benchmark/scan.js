#!/usr/bin/env node
/**
 * Measures `audit-anomaly scan`: lines a second with the bundled model, and a million lines with a tiny random one for
 * what the rest of it costs and for its memory. Needs neither the peers nor a network.
 *
 *     npm run bench:scan
 */

const { spawn } = require('node:child_process')
const { createWriteStream, mkdirSync, readFileSync } = require('node:fs')
const os = require('node:os')
const { join } = require('node:path')
const { once } = require('node:events')
const { buildProgram } = require('../scripts/program.js')
const { ROOT, WORK } = require('./prepare.js')
const { short, table, writePart } = require('./report.js')

const TINY = join(ROOT, '__test__', 'fixtures', 'tiny')

/**
 * Writes the lines of a sample again and again, each with a number, so that no two of the first `different` are alike.
 *
 * @param {string} file @param {string[]} sample @param {number} lines @param {number} different
 */
async function makeLog(file, sample, lines, different) {
  const output = createWriteStream(file)
  for (let line = 0; line < lines; line++) {
    const number = line % different
    if (!output.write(`${sample[number % sample.length]} request=${number}\n`)) await once(output, 'drain')
  }
  output.end()
  await once(output, 'close')
}

/**
 * @param {string} program @param {string[]} options
 * @returns {Promise<{ summary: string, rate: number, early: number, peak: number }>} memory in MiB, a third into the
 *   time and at the end
 */
async function scan(program, options) {
  const child = spawn(program, ['scan', ...options], { stdio: ['ignore', 'ignore', 'pipe'], env: {} })
  /** @type {number[]} */
  const peaks = []
  const watch = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
      peaks.push(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024)
    } catch {
      // It has ended, or this system has no such file.
    }
  }, 20)
  let summary = ''
  child.stderr.on('data', (part) => {
    summary += part
  })
  const [code] = await once(child, 'close')
  clearInterval(watch)
  if (code !== 0) throw new Error(`scan ended with ${code}: ${summary}`)
  const rate = Number(/(\d+) lines\/s/.exec(summary)?.[1])
  const known = peaks.filter((peak) => peak > 0)
  return { summary, rate, early: known[Math.floor(known.length / 3)], peak: Math.max(...known) }
}

async function main() {
  mkdirSync(WORK, { recursive: true })
  const program = buildProgram()
  const logs = [
    { name: '20,000 lines, no two alike', lines: 20_000, different: 20_000, file: join(WORK, 'scan-20k.log') },
    { name: '20,000 lines, 1,000 different', lines: 20_000, different: 1_000, file: join(WORK, 'scan-1k.log') },
    { name: '1,000,000 short lines, no two alike', lines: 1e6, different: 1e6, file: join(WORK, 'scan-1m.log') },
  ]
  const sample = readFileSync(join(ROOT, 'examples', 'audit.log'), 'utf8')
    .trim()
    .split('\n')
  for (const { file, lines, different } of logs) {
    await makeLog(file, lines === 1e6 ? ['report opened,'] : sample, lines, different)
  }
  const [distinct, repeated, million] = logs
  const bundled = (/** @type {string} */ precision) => ['--model', 'bundled', '--precision', precision]
  /** @type {[string, string[], typeof distinct, boolean][]} */
  const runs = [
    ['bundled, f32', bundled('f32'), distinct, false],
    ['bundled, f32', bundled('f32'), distinct, true],
    ['bundled, f32', bundled('f32'), repeated, true],
    ['bundled, int8', bundled('int8'), distinct, false],
    ['tiny, random', ['--model', TINY], million, false],
    ['tiny, random', ['--model', TINY], million, true],
  ]
  const rows = []
  for (const [model, options, log, cache] of runs) {
    const { summary, rate, early, peak } = await scan(program, [
      ...options,
      ...(cache ? [] : ['--cache-size', '0']),
      log.file,
    ])
    console.error(`> ${model}, ${log.name}, cache ${cache ? 'on' : 'off'}: ${summary.trim()}`)
    rows.push([model, log.name, cache ? 'on' : 'off', short(rate), short(early), short(peak)])
  }
  const report = `${[
    '# Scanning files',
    `Made by \`npm run bench:scan\`, ${new Date().toISOString().slice(0, 10)}: \`audit-anomaly scan\` of lines like those of examples/audit.log, ` +
      `NDJSON to /dev/null, ${os.availableParallelism()} thread(s) of an ${os.cpus()[0].model}. Loading is not in the rate. The tiny model is ` +
      'that of the tests: what it takes is what reading, tokenizing, the queue and writing take.',
    table(['model', 'log', 'cache', 'lines/s', 'peak memory a third in, MiB', 'at the end, MiB'], rows),
  ].join('\n\n')}\n`
  writePart(join(__dirname, 'RESULTS.md'), report)
  console.log(report)
}

main().catch((error) => {
  console.error(`bench:scan: ${error.message}`)
  process.exitCode = 1
})
