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
 *     node run.js ours|transformersjs < request.json
 */

const { readFileSync } = require('node:fs')
const { monitorEventLoopDelay } = require('node:perf_hooks')
const { setTimeout: sleep } = require('node:timers/promises')

/**
 * @typedef {{ model: string, precision: 'f32' | 'int8', threads: number, mode: 'each' | 'list' | 'concurrent',
 *   texts: string[], warmUp: number }} Request
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

/** @param {Subject} subject @param {Request} request */
async function score({ one, list }, { mode, texts }) {
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
