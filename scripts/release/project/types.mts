import { readFileSync } from 'node:fs'
import { type Analysis, AnomalyError, analyzeBatch, type LogRecord } from 'audit-anomaly'

const lines = readFileSync('app.log', 'utf8').trim().split('\n')
const records: LogRecord[] = lines.map((log_text, log_id) => ({ log_id, log_text }))
const analyses: Analysis[] = await analyzeBatch(records, { threshold: 0.5 })
console.log(JSON.stringify(analyses))

// @ts-expect-error a record needs a text
analyzeBatch([{ log_id: 1 }]).catch((error: unknown) => {
  if (!(error instanceof AnomalyError)) throw error
})
