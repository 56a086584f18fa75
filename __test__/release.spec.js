/** What the release does with the packages: what it builds, and what it says of sizes and of the system that is needed. */

const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { ROOT } = require('./support/child.js')
const { corrected, differences, said, shown } = require('../scripts/release-check.js')
const { newest } = require('../scripts/release/glibc.js')
const { PLATFORMS } = require('../scripts/release/platforms.js')

describe('docs/sizes.md', () => {
  const page = '| a | 1 kB | 20.0 MB |\n| b | 202 |'

  test('is compared with what was measured', () => {
    expect(differences(page, { a: [1030, 20.5e6], b: [200] })).toEqual([])
    expect(differences(page, { a: [1000, 22e6] })).toEqual(['a is said to have 1 kB, 20.0 MB, and has 1 kB, 22.0 MB'])
    expect(differences(page, { b: [150] })).toEqual(['b is said to have 202, and has 150'])
    expect(differences(page, { c: [1] })).toEqual(['c is not in the tables'])
    expect(differences('| a | x |', { a: [1] })).toHaveLength(1)
  })

  test('is corrected', () => {
    expect(corrected(page, { a: [2000, 1e6], b: [7] })).toBe('| a | 2 kB |  1.0 MB |\n| b |   7 |')
    for (const value of [1, 999, 1000, 24_000, 16.9e6]) expect(said(shown(value))).toBe(value)
  })
})

describe('the workflow', () => {
  const read = (file) => readFileSync(join(ROOT, file), 'utf8')

  test('builds every platform', () => {
    const workflow = read('.github/workflows/release.yml')
    for (const { triple, folder } of PLATFORMS) {
      expect(workflow).toContain(`target: ${triple}\n`)
      expect(workflow).toContain(`platform: ${folder}\n`)
    }
    expect([...workflow.matchAll(/\btarget: [a-z]/g)].length).toBe(PLATFORMS.length)
  })

  test('checks the licences of the crates of every platform', () => {
    for (const { triple } of PLATFORMS) expect(read('deny.toml')).toContain(`"${triple}"`)
  })

  test('finds the newest glibc that a file asks for', () => {
    const file = (...names) => Buffer.from(`\x7fELF\0${names.map((name) => `${name}\0`).join('')}`)
    expect(newest(file('GLIBC_2.2.5', 'GLIBC_2.17', 'GLIBC_2.9', 'GLIBCXX_3.4'))).toBe(17)
    expect(newest(file('GLIBC_2.17', 'GLIBC_2.34'))).toBe(34)
    expect(newest(file('GLIBC_PRIVATE'))).toBe(-Infinity)
  })
})
