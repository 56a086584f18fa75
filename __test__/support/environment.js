/** Runs before each test file: every file of one Jest worker shares its process, and so its model. */

const { join } = require('node:path')

for (const name of Object.keys(process.env)) {
  if (/^(ANOMALY_|HF_)/.test(name)) delete process.env[name]
}
process.env.ANOMALY_MODEL = join(__dirname, '..', 'fixtures', 'tiny')
