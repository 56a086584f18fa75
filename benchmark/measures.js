/** What is measured: the scenarios, the figures taken from them, and the bar of each figure. */

/**
 * @typedef {import('./subjects/run.js').Request} Request
 * @typedef {'f32' | 'int8'} Precision
 * @typedef {{ tokens: number, text: string }} Line
 * @typedef {{ lengths: Record<string, string[]>, lines: Line[] }} Texts
 * @typedef {{ load_ms: number, times_ms: number[], scores: number[], memory: { load: number, end: number },
 *   loop_ms?: { p99: number, max: number }, total_ms?: number, fs_ms?: number[], dns_ms?: number[], start_ms: number }} Answer what a subject said (see subjects/run.js), and the
 *   milliseconds from its start to that
 */

/** Lines of the mixed list; all lines are for the concurrent calls. */
const LIST = 256
/** Calls of one round for a text length. */
const CALLS = { 16: 96, 64: 64, 256: 32 }

/** @param {number[]} values */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** The value that a `share` of all does not exceed. @param {number[]} values @param {number} share */
function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]
}

/** @param {number[]} values */
const sum = (values) => values.reduce((total, value) => total + value, 0)

/**
 * What each scenario asks. One log at a time goes through all texts of its length in turn. In `loop` the
 * peers score line by line, and the product the list, as each does it best.
 *
 * @param {Texts} texts
 * @returns {Record<string, (product: boolean) => Pick<Request, 'mode' | 'texts' | 'warmUp'>>}
 */
function scenarios({ lengths, lines }) {
  const all = lines.map(({ text }) => text)
  const list = all.slice(0, LIST)
  const alone = Object.entries(CALLS).map(([tokens, calls]) => {
    const texts = Array.from({ length: calls }, (_, call) => lengths[tokens][call % lengths[tokens].length])
    return [`alone-${tokens}`, () => ({ mode: 'each', texts, warmUp: lengths[tokens].length })]
  })
  return {
    ...Object.fromEntries(alone),
    list: () => ({ mode: 'list', texts: list, warmUp: 4 }),
    loop: (product) => ({ mode: product ? 'list' : 'each', texts: list, warmUp: 4 }),
    concurrent: () => ({ mode: 'concurrent', texts: all, warmUp: 4 }),
    start: () => ({ mode: 'each', texts: all.slice(0, 1), warmUp: 0 }),
  }
}

/**
 * A figure: the scenario it comes from, how, and what it should be. `faster` is how many times faster than
 * transformers.js at least, on every number of threads unless `threads` says which; `atMost` is absolute.
 *
 * @typedef {object} Figure
 * @property {string} title
 * @property {string} scenario
 * @property {'ms' | 'logs/s' | 'MiB'} unit
 * @property {(answer: Answer) => number | undefined} of
 * @property {number[]} [tokens] of the texts, if the figure has a limit
 * @property {Record<Precision, number>} [faster]
 * @property {Record<Precision, number>} [atMost]
 * @property {number[]} [threads]
 */

/** @param {Texts} texts @returns {Figure[]} */
function figures({ lines }) {
  const tokens = lines.map((line) => line.tokens)
  const rate = (/** @type {Answer} */ { scores, times_ms }) => (scores.length / sum(times_ms)) * 1000
  /** @param {number} length @param {Record<Precision, number>} faster @param {number[]} [threads] @returns {Figure} */
  const alone = (length, faster, threads) => ({
    title: `one log of ${length} tokens at a time, p50`,
    scenario: `alone-${length}`,
    unit: 'ms',
    of: ({ times_ms }) => median(times_ms),
    tokens: [length],
    faster,
    threads,
  })
  return [
    alone(16, { f32: 1.5, int8: 2 }, [1]),
    alone(64, { f32: 1.35, int8: 1.7 }),
    alone(256, { f32: 1.3, int8: 1.7 }),
    {
      title: `a list of ${LIST} mixed lines in one call`,
      scenario: 'list',
      unit: 'logs/s',
      of: rate,
      tokens: tokens.slice(0, LIST),
      faster: { f32: 6, int8: 9 },
    },
    {
      title: 'the same list, the peers one by one',
      scenario: 'loop',
      unit: 'logs/s',
      of: rate,
      tokens: tokens.slice(0, LIST),
      faster: { f32: 1.5, int8: 2 },
    },
    {
      title: `${tokens.length} concurrent calls`,
      scenario: 'concurrent',
      unit: 'logs/s',
      of: rate,
      tokens,
      faster: { f32: 1.5, int8: 2 },
    },
    {
      title: 'event-loop delay meanwhile: p99',
      scenario: 'concurrent',
      unit: 'ms',
      of: ({ loop_ms }) => loop_ms?.p99,
      atMost: { f32: 5, int8: 5 },
    },
    // A loop that stands still for all of the time has few delays, and its p99 may miss the one that counts.
    { title: 'the longest', scenario: 'concurrent', unit: 'ms', of: ({ loop_ms }) => loop_ms?.max },
    {
      title: 'process start to first score',
      scenario: 'start',
      unit: 'ms',
      of: ({ start_ms }) => start_ms,
      faster: { f32: 2, int8: 2 },
      threads: [1],
    },
    {
      title: 'peak memory after load',
      scenario: 'list',
      unit: 'MiB',
      of: ({ memory }) => memory.load ?? undefined,
      atMost: { f32: 290, int8: 120 },
      threads: [1],
    },
    {
      title: 'peak memory after the list',
      scenario: 'list',
      unit: 'MiB',
      of: ({ memory }) => memory.end ?? undefined,
      atMost: { f32: 330, int8: 150 },
      threads: [1],
    },
  ]
}

/** Twice the throughput of one thread is the most that two can give; for the list it should be this. */
const SCALING = 1.85

// The limit of a forward pass.

const [LAYERS, DIM, HIDDEN] = [6, 768, 3072]
const BLOCK_WEIGHTS = 4 * DIM * DIM + 2 * DIM * HIDDEN
const HEAD_WEIGHTS = DIM * DIM + 2 * DIM

/** Megabytes of the weights that a forward pass must read: all but the embeddings'. */
const WEIGHT_MEGABYTES = {
  f32: Math.round((4 * (LAYERS * BLOCK_WEIGHTS + HEAD_WEIGHTS)) / 1e6),
  int8: Math.round((LAYERS * BLOCK_WEIGHTS + 4 * HEAD_WEIGHTS) / 1e6),
}

/**
 * Milliseconds that the machine needs at least for texts of so many tokens, scored together: for the
 * multiply-adds of the linear layers, of which the last block's have the first token alone but for keys and values,
 * and of attention, which is f32 in int8 too; or to read the weights once, if that takes longer.
 *
 * @param {{ f32: number, int8: number, read: Record<string, number> }} limits a second, see native/limits.rs
 * @param {Precision} precision
 * @param {number[]} tokens of each text
 */
function limit(limits, precision, tokens) {
  const linear = sum(
    tokens.map((count) => ((LAYERS - 1) * BLOCK_WEIGHTS + 2 * DIM * DIM) * count + BLOCK_WEIGHTS - 2 * DIM * DIM),
  )
  const exact = sum(tokens.map((count) => 2 * DIM * ((LAYERS - 1) * count * count + count) + HEAD_WEIGHTS))
  const compute = linear / limits[precision] + exact / limits.f32
  const megabytes = WEIGHT_MEGABYTES[precision]
  return 1000 * Math.max(compute, (megabytes * 1e6) / limits.read[megabytes])
}

module.exports = { LIST, SCALING, WEIGHT_MEGABYTES, figures, limit, median, quantile, scenarios, sum }
