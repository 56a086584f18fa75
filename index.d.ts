/**
 * Tells which audit log lines are anomalous, inside the Node.js process.
 *
 * ```js
 * const { analyzeLog } = require('audit-anomaly')
 * const { anomaly_score, is_anomaly } = await analyzeLog({ log_id: 1, log_text: 'Failed login attempt' })
 * ```
 *
 * The functions that return a promise never throw synchronously: every failure is a rejection with
 * an {@link AnomalyError}, or with the signal's own reason. Settings are read from `process.env` at
 * the first call; docs/settings.md lists them.
 *
 * @packageDocumentation
 */

/** One line of an audit log. */
export interface LogRecord {
  /** Comes back as it was given. A number must be finite. */
  log_id: number | string | bigint
  /** The text to score; may be empty. At most `ANOMALY_MAX_TEXT_BYTES` (64 KiB) of UTF-8. */
  log_text: string
}

/** What is said of one line. */
export interface Analysis<Id extends LogRecord['log_id'] = LogRecord['log_id']> {
  /** The record's own id. */
  log_id: Id
  /** Probability that the line is anomalous, from 0 to 1, rounded to 4 decimals. */
  anomaly_score: number
  /** Whether the score as reported reaches the threshold. */
  is_anomaly: boolean
  /** The model that made the score. */
  model_name: string
}

/** How things stand. */
export interface Health {
  /**
   * `starting` until the first load ends, `healthy` once a model is loaded, `unhealthy` after a
   * load failed or a setting was refused; the next call tries again.
   */
  status: 'starting' | 'healthy' | 'unhealthy'
  /** Whether a model is loaded. */
  model_loaded: boolean
  /** The model that is loaded; before that, the configured one. */
  model_name: string
  /** The score from which on a line is flagged: `ANOMALY_THRESHOLD`. */
  threshold: number
}

/** How far the download of a model is. */
export interface LoadProgress {
  /** The file's name in the model's repository. */
  file: string
  /** Bytes that have arrived. */
  received: number
  /** Bytes to come in all; 0 when the hub did not say. */
  total: number
}

/** What was done since the process started, by all its threads, and what waits now. */
export interface Stats {
  /** Records that wait for a free thread; at most about `ANOMALY_MAX_QUEUE`. */
  queue_depth: number
  /** Bytes of their texts; a text that several of them share counts once. */
  queue_bytes: number
  /** Calls, without those that were refused; a stream is one. */
  requests: number
  /** Calls that were refused with `OVERLOADED`. */
  refused: number
  /** Records of the calls. */
  records: number
  /** Batches that went through the model. */
  batches: number
  /** Sequences in a batch on average: one for a text, several for a text that is longer than the model. */
  mean_batch_size: number
  /** Tokens that went through the model. */
  tokens: number
  /** Texts whose score was in the cache. */
  cache_hits: number
  /** Texts that were looked for in the cache in vain; 0 without a cache. */
  cache_misses: number
  /** Seconds that the threads spent on batches, added up. */
  compute_seconds: number
}

/** Options of {@link analyzeLog}, {@link analyzeBatch} and {@link analyzeStream}. */
export interface AnalyzeOptions {
  /** The score from which on a line is flagged, from 0 to 1, for this call alone. */
  threshold?: number
  /**
   * Rejects the call at once with the signal's reason. What waits in the queue leaves it and is
   * never computed.
   */
  signal?: AbortSignal
}

/** Options of {@link load}. */
export interface LoadOptions {
  /** Rejects this call with the signal's reason. The load goes on for the other callers. */
  signal?: AbortSignal
  /**
   * Told about a download some twenty times a second. What it throws becomes a process warning,
   * and it is not called again.
   */
  onProgress?: (progress: LoadProgress) => void
}

/**
 * Scores one line. The first call loads the model.
 *
 * @param record - the line
 * @param options - threshold and signal of this call
 * @returns the score and the verdict
 * @throws {@link AnomalyError} as a rejection
 */
export function analyzeLog<Id extends LogRecord['log_id']>(
  record: LogRecord & { log_id: Id },
  options?: AnalyzeOptions,
): Promise<Analysis<Id>>

/**
 * Scores a list of lines, any number of them. A line's score does not depend on the others, and
 * equal lines are computed once. A long list goes into the queue part by part, so that other calls
 * need not wait for all of it.
 *
 * @param records - the lines; `[]` gives `[]`
 * @param options - threshold and signal of this call
 * @returns one analysis for each record, in the same order
 * @throws {@link AnomalyError} as a rejection; its `details.item` is the index of the bad record
 */
export function analyzeBatch<Id extends LogRecord['log_id']>(
  records: readonly (LogRecord & { log_id: Id })[],
  options?: AnalyzeOptions,
): Promise<Analysis<Id>[]>

/** Records one after the other: an array, a generator, a cursor of a database, lines of a file. */
export type RecordSource<Id extends LogRecord['log_id'] = LogRecord['log_id']> =
  | Iterable<LogRecord & { log_id: Id }>
  | AsyncIterable<LogRecord & { log_id: Id }>

/**
 * Scores records as they come, in constant memory:
 *
 * ```js
 * for await (const { log_id, is_anomaly } of analyzeStream(cursor)) if (is_anomaly) report(log_id)
 * ```
 *
 * Reads ahead just enough to keep all threads at work, and answers a slow source record by record.
 * The source is closed when the loop ends early. A stream waits for its turn where other calls are
 * refused with `OVERLOADED`.
 *
 * @param source - the records
 * @param options - threshold and signal of the whole stream
 * @returns one analysis for each record, in the same order
 * @throws {@link AnomalyError} from the loop, and whatever the source throws, after the analyses of
 * all records before; `details.item` is the index of the bad record
 */
export function analyzeStream<Id extends LogRecord['log_id']>(
  source: RecordSource<Id>,
  options?: AnalyzeOptions,
): AsyncGenerator<Analysis<Id>, void, undefined>

/**
 * Loads the model ahead of the first line; downloads it if need be. Callers at the same time share
 * one load. A load that failed can be tried again.
 *
 * @param options - signal and progress
 * @returns how things stand afterwards
 * @throws {@link AnomalyError} as a rejection
 */
export function load(options?: LoadOptions): Promise<Health>

/** How things stand: at once, without loading anything, and without ever throwing. */
export function health(): Health

/** What was done so far and what waits now, for monitoring: at once, and without loading anything. */
export function stats(): Stats

/** What went wrong, as {@link AnomalyError.code} has it. */
export type AnomalyErrorCode =
  /** An argument is of the wrong type or out of bounds; `details` says which. */
  | 'INVALID_INPUT'
  /** A setting makes no sense, or was changed after the model was loaded. */
  | 'INVALID_CONFIG'
  /** The model, or one of its files, does not exist. */
  | 'MODEL_NOT_FOUND'
  /** The model could not be downloaded. */
  | 'MODEL_DOWNLOAD'
  /** A downloaded file is not the one that was published. */
  | 'MODEL_CHECKSUM'
  /** The model's files cannot be used. */
  | 'MODEL_INVALID'
  /** As many records or bytes wait as `ANOMALY_MAX_QUEUE` and `ANOMALY_MAX_QUEUE_BYTES` allow; try again a little later. */
  | 'OVERLOADED'
  /** A bug in this package. */
  | 'INTERNAL'

/** The error of this package. */
export class AnomalyError extends Error {
  private constructor()
  readonly name: 'AnomalyError'
  /** Stable; the message is for people. */
  readonly code: AnomalyErrorCode
  /** With `INVALID_INPUT`: where in the arguments. */
  readonly details?: {
    /** Index in the list of records. */
    readonly item?: number
    /** Name of the field or option. */
    readonly field?: string
  }
}
