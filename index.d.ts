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
 * the first call; the README lists them.
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

/** Options of {@link analyzeLog} and {@link analyzeBatch}. */
export interface AnalyzeOptions {
  /** The score from which on a line is flagged, from 0 to 1, for this call alone. */
  threshold?: number
  /**
   * Rejects the call with the signal's reason. The work stops soon after; work that has not begun
   * is not done.
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
 * Scores a list of lines, any number of them. A line's score does not depend on the others.
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
  /** The process is exiting. Aborted calls reject with their signal's own reason instead. */
  | 'ABORTED'
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
