#!/usr/bin/env node
/**
 * Fails if a library or program asks for a newer glibc than it may.
 *
 *     node scripts/release/glibc.js 2.17 FILE...
 */

const { readFileSync } = require('node:fs')

/** The minor version of the newest glibc whose symbols a file names: they are written `GLIBC_2.17`. @param {Buffer} file */
function newest(file) {
  const names = file.toString('latin1').matchAll(/\0GLIBC_2\.(\d+)(?:\.\d+)?(?=\0)/g)
  return Math.max(...[...names].map(([, minor]) => Number(minor)))
}

module.exports = { newest }

if (require.main === module) {
  const [most, ...files] = process.argv.slice(2)
  const [, minor] = /** @type {string[]} */ (/^2\.(\d+)$/.exec(most))
  for (const file of files) {
    const found = newest(readFileSync(file))
    console.log(`${file}: glibc 2.${found}`)
    // A file that names none was linked in some other way than it should.
    if (!(found > 0 && found <= Number(minor))) process.exitCode = 1
  }
}
