/**
 * What `npm install` runs: nothing if the addon for this platform is there, be it built here or
 * from this package's platform packages; else builds it from source.
 */

const { existsSync } = require('node:fs')
const { join } = require('node:path')

const ROOT = join(__dirname, '..')

function loads() {
  try {
    require('../binding.js')
    return true
  } catch {
    return false
  }
}

if (!loads()) {
  if (existsSync(join(ROOT, 'Cargo.toml'))) {
    const { setup, canBuild } = require('./setup.js')
    setup(canBuild)
  } else {
    console.error(
      `audit-anomaly: there is no prebuilt addon for ${process.platform} on ${process.arch}; ` +
        'install it from a checkout of its repository, which builds it with Rust',
    )
    process.exit(1)
  }
}
