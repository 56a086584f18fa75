/**
 * What a subject does in one round, in a process of its own: it loads, warms up, scores, and says
 * how long each took. Every subject, in whatever language, keeps to this:
 *
 * - standard input: { model: directory, precision: 'f32' | 'int8', threads, mode, texts, warmUp }
 *   - mode 'each' scores one text after the other, 'list' all in one call, 'concurrent' starts a
 *     call for every text at once
 *   - warmUp is how many texts to score before, one by one
 * - standard output: one line, { load_ms, times_ms: one for each call that was awaited, scores:
 *   P(NEGATIVE) of each text, memory: { load, end }: peaks in MiB, loop_ms: { p99, max }: delays of the event
 *   loop in mode 'concurrent' }
 *
 *
 * In JavaScript there is also mode 'load', with `concurrency` callers of whom each scores the next of the texts as soon
 * as it has an answer. Beside times_ms and scores it gives total_ms, loop_ms, and fs_ms and dns_ms: how long small calls
 * of these took meanwhile.
 *
 *     node run.js ours|transformersjs < request.json
 */

const { lookup } = require('node:dns/promises')
const { readFileSync } = require('node:fs')
const { readFile } = require('node:fs/promises')
const { monitorEventLoopDelay } = require('node:perf_hooks')
const { setTimeout: sleep } = require('node:timers/promises')

/**
 * @typedef {{ model: string, precision: 'f32' | 'int8', threads: number, mode: 'each' | 'list' | 'concurrent' |
 *   'load', texts: string[], warmUp: number, concurrency?: number }} Request
 * @typedef {{ one: (text: string) => Promise<number>, list: (texts: string[]) => Promise<number[]> }} Subject
 */

/** The most memory that this process ever held, in MiB; only Linux says it. */
function peakMemory() {
  try {
    return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1024
  } catch {
    return null
  }
}

/** @template T @param {() => Promise<T>} action @returns {Promise<[number, T]>} milliseconds and result */
async function timed(action) {
  const start = performance.now()
  const result = await action()
  return [performance.now() - start, result]
}

/** Calls of fs and dns, one after the other, until it is told to stop. */
function systemCalls() {
  /** @type {{ fs_ms: number[], dns_ms: number[] }} */
  const times = { fs_ms: [], dns_ms: [] }
  let stopped = false
  const calls = (async () => {
    while (!stopped) {
      times.fs_ms.push((await timed(() => readFile(__filename)))[0])
      times.dns_ms.push((await timed(() => lookup('localhost')))[0])
      await sleep(10)
    }
  })()
  return async () => {
    stopped = true
    await calls
    return times
  }
}

/** @param {Subject} subject @param {string[]} texts @param {number} concurrency */
async function load({ one }, texts, concurrency) {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  await sleep(20)
  delay.reset()
  const stop = systemCalls()
  /** @type {number[]} */
  const times_ms = []
  /** @type {number[]} */
  const scores = []
  let next = 0
  const caller = async () => {
    while (next < texts.length) {
      const index = next++
      const [time, score] = await timed(() => one(texts[index]))
      times_ms.push(time)
      scores[index] = score
    }
  }
  const [total_ms] = await timed(() => Promise.all(Array.from({ length: concurrency }, caller)))
  const system = await stop()
  delay.disable()
  return { times_ms, scores, total_ms, loop_ms: { p99: delay.percentile(99) / 1e6, max: delay.max / 1e6 }, ...system }
}

/** @param {Subject} subject @param {Request} request */
async function score(subject, { mode, texts, concurrency = 1 }) {
  const { one, list } = subject
  if (mode === 'load') return load(subject, texts, concurrency)
  if (mode === 'list') {
    const [time, scores] = await timed(() => list(texts))
    return { times_ms: [time], scores }
  }
  if (mode === 'concurrent') {
    const delay = monitorEventLoopDelay({ resolution: 1 })
    delay.enable()
    await sleep(20)
    delay.reset()
    const [time, scores] = await timed(() => Promise.all(texts.map(one)))
    // The delay that ends now is seen at the loop's next turn.
    await sleep(20)
    delay.disable()
    return { times_ms: [time], scores, loop_ms: { p99: delay.percentile(99) / 1e6, max: delay.max / 1e6 } }
  }
  const calls = []
  for (const text of texts) calls.push(await timed(() => one(text)))
  return { times_ms: calls.map(([time]) => time), scores: calls.map(([, score]) => score) }
}

async function main() {
  /** @type {Request} */
  const request = JSON.parse(readFileSync(0, 'utf8'))
  /** @type {{ load: (request: Request) => Promise<Subject> }} */
  const { load } = require(`./${process.argv[2]}.js`)
  const [load_ms, subject] = await timed(() => load(request))
  const atLoad = peakMemory()
  for (let call = 0; call < request.warmUp; call++) await subject.one(request.texts[call % request.texts.length])
  const result = await score(subject, request)
  console.log(JSON.stringify({ load_ms, ...result, memory: { load: atLoad, end: peakMemory() } }))
}

main()
