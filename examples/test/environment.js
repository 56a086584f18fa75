/** Runs before each test file: the bundled model, whatever the caller's settings. */

for (const name of Object.keys(process.env)) {
  if (/^(ANOMALY_|HF_)/.test(name)) delete process.env[name]
}
process.env.ANOMALY_MODEL = 'bundled'
