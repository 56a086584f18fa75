/**
 * The public face of audit-anomaly: checks arguments, keeps the ids, and turns every failure into
 * an AnomalyError. The types are in index.d.ts, the work is done in src/.
 */

const { existsSync } = require('node:fs')
const { join } = require('node:path')
const { inGroups } = require('./stream.js')

const binding = loadBinding()

/** The addon; if it cannot be loaded, an error that says why and what to do. */
function loadBinding() {
  try {
    return require('./binding.js')
  } catch (error) {
    throw unloadable(error)
  }
}

/** @param {any} error of the generated loader: what each attempt said, one in the cause of the other */
function unloadable(error) {
  const reasons = []
  for (let { cause } = error; cause; cause = cause.cause) reasons.push(String(cause.message))
  // That there is no file is said of each place; what else was said is about a file that is there.
  const reason =
    reasons.find((reason) => !reason.startsWith('Cannot find module')) ?? (reasons.length ? '' : error.message)
  const what = `the addon for ${process.platform}-${process.arch} ${reason ? `cannot be loaded: ${reason}` : 'is missing'}`
  const todo = existsSync(join(__dirname, 'Cargo.toml'))
    ? `Build it with: npm --prefix ${JSON.stringify(__dirname)} run setup`
    : reason
      ? 'Install audit-anomaly from a checkout, which builds it for this system.'
      : 'It comes in a package of its own, which npm leaves out with --omit=optional, and with a lock file from another ' +
        'platform. Where there is none for the platform, install audit-anomaly from a checkout, which builds it.'
  return new Error(`audit-anomaly: ${what}\n${todo}`)
}

/**
 * What every function of this package rejects with, save for an abort, which rejects with the
 * signal's own reason.
 */
class AnomalyError extends Error {
  /**
   * @param {string} code stable, see index.d.ts
   * @param {string} message what was found, where, and what would be right
   * @param {{ item?: number, field?: string }} [details] which item and field of the arguments
   */
  constructor(code, message, details) {
    super(message)
    this.name = 'AnomalyError'
    this.code = code
    if (details) this.details = details
  }
}

/**
 * @param {string} message
 * @param {{ item?: number, field?: string }} [details]
 */
const invalidInput = (message, details) => new AnomalyError('INVALID_INPUT', message, details)

/**
 * An AnomalyError of what the native code threw: its message is JSON (see src/node/mod.rs).
 *
 * @param {unknown} error
 * @returns {AnomalyError}
 */
function fromNative(error) {
  // Not by instanceof: in Jest the native error is of another realm.
  const text = typeof error === 'object' && error !== null && 'message' in error ? String(error.message) : String(error)
  try {
    const { code, message, details } = JSON.parse(text)
    return new AnomalyError(code, message, details ?? undefined)
  } catch {
    return new AnomalyError('INTERNAL', text)
  }
}

// Settings.

/** The variables that src/config.rs reads; no other leaves process.env. */
const VARIABLE = /^(ANOMALY_|HF_|HUGGINGFACE_HUB_CACHE$|XDG_CACHE_HOME$|HOME$|USERPROFILE$)/

/** @type {import('./binding.js').Settings | undefined} the settings of the first good call */
let settings
/** Whether the last call found a setting that makes no sense. */
let refused = false

function readSettings() {
  /** @type {[string, any][]} */
  const entries = Object.entries(process.env).filter(([name]) => VARIABLE.test(name))
  return new binding.Settings(Object.fromEntries(entries))
}

function configure() {
  if (settings) return settings
  try {
    settings = readSettings()
    refused = false
    return settings
  } catch (error) {
    refused = true
    throw fromNative(error)
  }
}

// Checks of arguments. They are done before any work, and name what was found.

/** @param {unknown} value */
function kind(value) {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value)
  return typeof value === 'undefined' ? 'undefined' : `a value of type ${typeof value}`
}

/**
 * Reads `value` once: a getter may give something else the second time, or throw.
 *
 * @template T
 * @param {() => T} read
 * @param {string} what
 * @param {{ item?: number }} [details]
 * @returns {T}
 */
function reading(read, what, details) {
  try {
    return read()
  } catch (error) {
    if (error instanceof AnomalyError) throw error
    throw invalidInput(`${what} cannot be read: ${error instanceof Error ? error.message : 'it throws'}`, details)
  }
}

/**
 * @param {unknown} source
 * @returns {Iterator<unknown> | AsyncIterator<unknown>}
 */
function iterate(source) {
  const wrong = () =>
    invalidInput(`source must be an iterable or async iterable of records, found ${kind(source)}`, { field: 'source' })
  // A string is an iterable of strings.
  if (typeof source !== 'object' || source === null) throw wrong()
  return reading(() => {
    const { [Symbol.asyncIterator]: later, [Symbol.iterator]: now } = /** @type {any} */ (source)
    if (typeof (later ?? now) !== 'function') throw wrong()
    return (later ?? now).call(source)
  }, 'source')
}

/**
 * A checked copy of a record, so that what the caller changes meanwhile changes nothing.
 *
 * @param {unknown} record
 * @param {number} maxBytes longest text, in bytes of UTF-8
 * @param {number} [item] index in a batch
 * @returns {import('./index').LogRecord}
 */
function copyRecord(record, maxBytes, item) {
  const place = item === undefined ? 'the record' : `record ${item}`
  const details = item === undefined ? {} : { item }
  return reading(
    () => {
      if (typeof record !== 'object' || record === null || Array.isArray(record)) {
        throw invalidInput(`${place} must be an object { log_id, log_text }, found ${kind(record)}`, details)
      }
      const { log_id, log_text } = /** @type {Record<string, unknown>} */ (record)
      if (!(Number.isFinite(log_id) || typeof log_id === 'string' || typeof log_id === 'bigint')) {
        const message = `${place}: log_id must be a finite number, a string or a bigint, found ${kind(log_id)}`
        throw invalidInput(message, { ...details, field: 'log_id' })
      }
      if (typeof log_text !== 'string') {
        const message = `${place}: log_text must be a string, found ${kind(log_text)}`
        throw invalidInput(message, { ...details, field: 'log_text' })
      }
      // The number of UTF-16 units is a lower bound, known without walking the text.
      if (log_text.length > maxBytes || Buffer.byteLength(log_text) > maxBytes) {
        const message = `${place}: log_text is longer than ANOMALY_MAX_TEXT_BYTES, ${maxBytes} bytes of UTF-8`
        throw invalidInput(message, { ...details, field: 'log_text' })
      }
      return { log_id: /** @type {number | string | bigint} */ (log_id), log_text }
    },
    place,
    details,
  )
}

/**
 * @param {unknown} options
 * @returns {{ threshold?: number, signal?: AbortSignal, onProgress?: (progress: object) => void }}
 */
function checkOptions(options) {
  if (options === undefined) return {}
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw invalidInput(`options must be an object, found ${kind(options)}`)
  }
  const { threshold, signal, onProgress } = reading(() => {
    const { threshold, signal, onProgress } = /** @type {Record<string, unknown>} */ (options)
    return { threshold, signal, onProgress }
  }, 'options')
  if (threshold !== undefined && !(typeof threshold === 'number' && threshold >= 0 && threshold <= 1)) {
    const found = typeof threshold === 'number' ? threshold : kind(threshold)
    throw invalidInput(`threshold must be a number from 0 to 1, found ${found}`, { field: 'threshold' })
  }
  // By its parts, since Jest and jsdom have an AbortSignal of their own.
  const listens = typeof signal === 'object' && signal !== null && 'addEventListener' in signal && 'aborted' in signal
  if (signal !== undefined && !listens) {
    throw invalidInput(`signal must be an AbortSignal, found ${kind(signal)}`, { field: 'signal' })
  }
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw invalidInput(`onProgress must be a function, found ${kind(onProgress)}`, { field: 'onProgress' })
  }
  return /** @type {ReturnType<typeof checkOptions>} */ ({ threshold, signal, onProgress })
}

/**
 * Settles as `work` does, or rejects at once with the signal's reason.
 *
 * @template T
 * @param {AbortSignal | undefined} signal
 * @param {() => Promise<T>} work
 * @param {() => void} [onAbort]
 * @returns {Promise<T>}
 */
function abortable(signal, work, onAbort) {
  if (!signal) return work()
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const abort = () => {
      reject(signal.reason)
      onAbort?.()
    }
    signal.addEventListener('abort', abort, { once: true })
    work()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', abort))
  })
}

// Loading.

/** @type {Promise<void> | undefined} the load that this thread waits for */
let loading

/**
 * Makes sure that the model is loaded. The native code shares one load among all threads; this
 * shares one native call among the callers of one thread.
 *
 * @param {import('./binding.js').Settings} config
 */
function ready(config) {
  loading ??= binding.load(config).then(
    (warning) => {
      if (warning) process.emitWarning(warning, { type: 'AnomalyWarning', code: 'ANOMALY_BUNDLED_MODEL' })
    },
    (error) => {
      // The next call tries again, and may have other settings.
      loading = undefined
      settings = undefined
      throw fromNative(error)
    },
  )
  return loading
}

/**
 * Reports the download until the returned function is called, which makes the last report.
 *
 * @param {((progress: import('./index').LoadProgress) => void) | undefined} onProgress
 */
function watchProgress(onProgress) {
  if (!onProgress) return () => {}
  let last = ''
  let stopped = false
  const report = () => {
    const progress = binding.progress()
    const text = JSON.stringify(progress)
    if (!progress || text === last) return
    last = text
    try {
      onProgress(progress)
    } catch (error) {
      // A broken progress bar must not break the load; say so once and stop calling it.
      stopped = true
      clearInterval(timer)
      process.emitWarning(`onProgress threw: ${error}`, { type: 'AnomalyWarning', code: 'ANOMALY_ON_PROGRESS' })
    }
  }
  const timer = setInterval(report, 50)
  return () => {
    if (!stopped) report()
    stopped = true
    clearInterval(timer)
  }
}

/** @param {import('./index').LoadOptions} [options] */
async function load(options) {
  const { signal, onProgress } = checkOptions(options)
  let stop = () => {}
  const work = async () => {
    const config = configure()
    stop = watchProgress(onProgress)
    try {
      await ready(config)
    } finally {
      stop()
    }
    return health()
  }
  return abortable(signal, work, () => stop())
}

/** @returns {import('./index').Health} */
function health() {
  const { modelName, failed } = binding.state()
  let config = settings
  try {
    config ??= readSettings()
  } catch {
    // Named as if unset; the next call that needs the settings rejects with the reason.
    config = new binding.Settings({})
  }
  const status = refused || (failed && !modelName) ? 'unhealthy' : modelName ? 'healthy' : 'starting'
  return {
    status,
    model_loaded: modelName !== null && modelName !== undefined,
    model_name: modelName ?? config.modelName,
    threshold: config.threshold,
  }
}

// Scoring.

/** Texts that go into the queue in one piece: a lone call never waits for all of a large one. */
const PART = 64

/**
 * The calls under way: the native code gives up a call whose object is gone.
 *
 * @type {Set<import('./binding.js').Call>}
 */
const calls = new Set()

/**
 * @template T
 * @param {import('./binding.js').Settings} config
 * @param {() => import('./binding.js').Call} open
 * @param {(call: import('./binding.js').Call) => Promise<T>} work
 * @returns {Promise<T>}
 */
async function during(config, open, work) {
  // Its failure is the failure of every call that waits for it.
  ready(config).catch(() => {})
  let call
  try {
    call = open()
    calls.add(call)
    return await work(call)
  } catch (error) {
    throw error instanceof AnomalyError ? error : fromNative(error)
  } finally {
    if (call) calls.delete(call)
  }
}

/**
 * @param {import('./index').LogRecord[]} records checked copies
 * @param {import('./binding.js').Settings} config
 * @param {{ threshold?: number, signal?: AbortSignal }} options
 * @returns {Promise<import('./index').Analysis[]>}
 */
function score(records, config, { threshold = config.threshold, signal }) {
  /** @type {import('./binding.js').Call | undefined} */
  let call
  const open = () => (call = new binding.Call(config, records.length))
  return abortable(
    signal,
    () => during(config, open, (call) => scoreParts(call, records, config, threshold)),
    () => call?.cancel(),
  )
}

/**
 * Scores each text once, in parts of which some are always in the queue.
 *
 * @param {import('./binding.js').Call} call
 * @param {import('./index').LogRecord[]} records
 * @param {import('./binding.js').Settings} config
 * @param {number} threshold
 */
async function scoreParts(call, records, config, threshold) {
  const { size, weight, groups } = parts(config)
  const texts = [...new Set(records.map(({ log_text }) => log_text))]
  /** @type {Map<string, Omit<import('./index').Analysis, 'log_id'>>} */
  const verdicts = new Map()
  let start = 0
  const lane = async () => {
    while (start < texts.length) {
      let [end, weighs] = [start, 0]
      while (end < texts.length && end - start < size && weighs < weight) weighs += texts[end++].length
      const part = texts.slice(start, end)
      start = end
      const analyses = await analyze(call, part, threshold)
      part.forEach((text, index) => {
        verdicts.set(text, analyses[index])
      })
    }
  }
  try {
    await Promise.all(Array.from({ length: groups }, lane))
  } catch (error) {
    call.cancel()
    throw error
  }
  return records.map(({ log_id, log_text }) => ({ log_id, .../** @type {any} */ (verdicts.get(log_text)) }))
}

/**
 * How large a part is, and how many of them keep all threads at work: together at most half of what may wait, so that
 * other calls find room. The weight is in units of UTF-16, of which each may take three bytes.
 *
 * @param {import('./binding.js').Settings} config
 */
function parts({ maxQueue, maxQueueBytes, threads }) {
  const groups = 1 + Math.ceil(threads / 2)
  const share = (/** @type {number} */ most) => Math.max(1, Math.floor(most / (2 * groups)))
  return { groups, size: Math.min(PART, share(maxQueue)), weight: share(maxQueueBytes / 3) }
}

/**
 * @param {import('./binding.js').Call} call
 * @param {string[]} texts
 * @param {number} threshold
 */
async function analyze(call, texts, threshold) {
  const { modelName, scores, flags } = await call.analyze(texts, threshold)
  return scores.map((score, index) => ({ anomaly_score: score, is_anomaly: flags[index], model_name: modelName }))
}

/**
 * @param {import('./index').LogRecord} record
 * @param {import('./index').AnalyzeOptions} [options]
 */
async function analyzeLog(record, options) {
  const checked = checkOptions(options)
  const config = configure()
  const copy = copyRecord(record, config.maxTextBytes)
  const [analysis] = await score([copy], config, checked)
  return analysis
}

/**
 * @param {import('./index').LogRecord[]} records
 * @param {import('./index').AnalyzeOptions} [options]
 */
async function analyzeBatch(records, options) {
  const checked = checkOptions(options)
  const config = configure()
  const copies = reading(() => {
    if (!Array.isArray(records)) throw invalidInput(`records must be an array, found ${kind(records)}`)
    return Array.from(records, (record, item) => copyRecord(record, config.maxTextBytes, item))
  }, 'records')
  if (copies.length > 0) return score(copies, config, checked)
  await abortable(checked.signal, () => ready(config))
  return []
}

/**
 * @param {import('./index').RecordSource} source
 * @param {import('./index').AnalyzeOptions} [options]
 */
async function* analyzeStream(source, options) {
  const { threshold, signal } = checkOptions(options)
  const config = configure()
  if (signal?.aborted) throw signal.reason
  const iterator = iterate(source)
  ready(config).catch(() => {})
  const call = binding.Call.stream(config)
  const cancel = () => call.cancel()
  signal?.addEventListener('abort', cancel)
  let running = 0
  try {
    yield* inGroups(iterator, {
      ...parts(config),
      signal,
      take: (record, item) => copyRecord(record, config.maxTextBytes, item),
      weigh: ({ log_text }) => log_text.length,
      work: async (/** @type {import('./index').LogRecord[]} */ records) => {
        call.add(records.length)
        const texts = records.map(({ log_text }) => log_text)
        // Only while there is work: a stream that its consumer has forgotten is not kept.
        running++
        calls.add(call)
        try {
          const analyses = await analyze(call, texts, threshold ?? config.threshold)
          return records.map(({ log_id }, index) => ({ log_id, ...analyses[index] }))
        } catch (error) {
          throw fromNative(error)
        } finally {
          if (--running === 0) calls.delete(call)
        }
      },
    })
  } finally {
    signal?.removeEventListener('abort', cancel)
    call.cancel()
  }
}

/** @returns {import('./index').Stats} */
function stats() {
  const found = binding.stats()
  return {
    queue_depth: found.queueDepth,
    queue_bytes: found.queueBytes,
    requests: found.requests,
    refused: found.refused,
    records: found.records,
    batches: found.batches,
    mean_batch_size: found.batches === 0 ? 0 : found.sequences / found.batches,
    tokens: found.tokens,
    cache_hits: found.cacheHits,
    cache_misses: found.cacheMisses,
    compute_seconds: found.computeSeconds,
  }
}

module.exports.analyzeLog = analyzeLog
module.exports.analyzeBatch = analyzeBatch
module.exports.analyzeStream = analyzeStream
module.exports.load = load
module.exports.health = health
module.exports.stats = stats
module.exports.AnomalyError = AnomalyError
