/**
 * Uses every public type; checked by `tsc --noEmit`, never run. What must not compile is marked, and
 * a mark without an error is an error itself.
 */

import {
  type Analysis,
  type AnalyzeOptions,
  AnomalyError,
  type AnomalyErrorCode,
  analyzeBatch,
  analyzeLog,
  type Health,
  health,
  type LoadOptions,
  type LoadProgress,
  type LogRecord,
  load,
} from '..'

async function everything(): Promise<void> {
  const record: LogRecord = { log_id: 1, log_text: 'User logged in' }
  const options: AnalyzeOptions = { threshold: 0.5, signal: AbortSignal.timeout(1000) }
  const analysis: Analysis = await analyzeLog(record, options)
  const score: number = analysis.anomaly_score
  const flagged: boolean = analysis.is_anomaly
  const model: string = analysis.model_name

  // The type of the id is kept.
  const numbered: number = (await analyzeLog({ log_id: 1, log_text: 'a' })).log_id
  const named: string = (await analyzeLog({ log_id: 'a', log_text: 'a' })).log_id
  const big: bigint = (await analyzeLog({ log_id: 1n, log_text: 'a' })).log_id
  const batch: Analysis<string>[] = await analyzeBatch([{ log_id: 'a', log_text: 'a' }] as const, { threshold: 1 })
  const none: Analysis[] = await analyzeBatch([])

  const loadOptions: LoadOptions = {
    signal: new AbortController().signal,
    onProgress: ({ file, received, total }: LoadProgress) => console.log(file.length, received / total),
  }
  const state: Health = await load(loadOptions)
  await load()
  const status: 'starting' | 'healthy' | 'unhealthy' = health().status
  const { model_loaded, model_name, threshold }: Health = state

  try {
    await analyzeLog(record)
  } catch (error) {
    if (error instanceof AnomalyError) {
      const code: AnomalyErrorCode = error.code
      const place: [number | undefined, string | undefined] = [error.details?.item, error.details?.field]
      const message: string = `${error.name} ${error.message}`
      switch (code) {
        case 'INVALID_INPUT':
        case 'INVALID_CONFIG':
        case 'MODEL_NOT_FOUND':
        case 'MODEL_DOWNLOAD':
        case 'MODEL_CHECKSUM':
        case 'MODEL_INVALID':
        case 'OVERLOADED':
        case 'INTERNAL':
          break
        default:
          code satisfies never
      }
      console.log(place, message)
    }
  }

  // @ts-expect-error the text must be a string
  await analyzeLog({ log_id: 1, log_text: 2 })
  // @ts-expect-error the id must be there
  await analyzeLog({ log_text: 'a' })
  // @ts-expect-error ids are numbers, strings or bigints
  await analyzeLog({ log_id: true, log_text: 'a' })
  // @ts-expect-error one record is no list
  await analyzeBatch(record)
  // @ts-expect-error no such option
  await analyzeLog(record, { treshold: 0.5 })
  // @ts-expect-error only this package makes them
  new AnomalyError()

  console.log(score, flagged, model, numbered, named, big, batch, none, status, model_loaded, model_name, threshold)
}

void everything
