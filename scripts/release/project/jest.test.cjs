const { analyzeLog, AnomalyError } = require('audit-anomaly')

test('scores, and rejects with its own error', async () => {
  const analysis = await analyzeLog({ log_id: 7, log_text: 'Failed login attempt for username: admin' })
  expect(analysis).toMatchObject({ log_id: 7, is_anomaly: true, model_name: 'audit-anomaly-small' })
  await expect(analyzeLog({ log_id: 7 })).rejects.toThrow(AnomalyError)
})
