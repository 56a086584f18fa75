import { readFileSync } from 'node:fs'

const { analyzeBatch, AnomalyError } = await import('audit-anomaly')
if (typeof AnomalyError !== 'function') throw new Error('AnomalyError is not exported by name')
const lines = readFileSync('app.log', 'utf8').trim().split('\n')
console.log(JSON.stringify(await analyzeBatch(lines.map((log_text, log_id) => ({ log_id, log_text })))))
