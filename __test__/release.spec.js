/** What the release does with the packages: what it builds, and what it says of sizes and of the system that is needed. */

const { corrected, differences, said, shown } = require('../scripts/release-check.js')

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
