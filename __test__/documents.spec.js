/** The documents are true to the source where that can be compared, and their links lead somewhere. */

const { existsSync, readdirSync, readFileSync, statSync } = require('node:fs')
const { dirname, join, relative, resolve } = require('node:path')
const { run } = require('./support/child.js')
const { DOCUMENTS, ROOT, WITH_BLOCKS, anchors, links, read, rows } = require('./support/markdown.js')

/** A Rust file without its unit tests. @param {string} file */
const source = (file) => read(file).split('#[cfg(test)]')[0]

/** @param {RegExp} pattern @param {string} text */
const all = (pattern, text) => [...text.matchAll(pattern)].map(([, found]) => found)

/** @param {Iterable<string>} values */
const sorted = (values) => [...new Set(values)].sort()

/** Links of a document that lead nowhere. @param {string} file @param {string} text */
function broken(file, text) {
  return links(text).filter((link) => {
    if (/^[a-z]+:/.test(link)) return false
    const [path, anchor] = link.split('#')
    const target = path ? resolve(ROOT, dirname(file), path) : join(ROOT, file)
    if (relative(ROOT, target).startsWith('..') || !existsSync(target)) return true
    return (
      anchor !== undefined &&
      (statSync(target).isDirectory() || !anchors(readFileSync(target, 'utf8')).includes(anchor))
    )
  })
}

describe('links', () => {
  test('all documents are looked at', () => {
    const found = ['.', 'docs', 'deploy', 'examples', 'model', 'training'].flatMap((folder) =>
      readdirSync(join(ROOT, folder))
        .filter((name) => name.endsWith('.md'))
        .map((name) => join(folder, name)),
    )
    expect(sorted(found)).toEqual(sorted(DOCUMENTS))
    expect(DOCUMENTS).toEqual(expect.arrayContaining(WITH_BLOCKS))
  })

  test.each(DOCUMENTS)('of %s lead somewhere', (file) => {
    expect(broken(file, read(file))).toEqual([])
  })

  test('that lead nowhere are found', () => {
    const text =
      '[a](docs/api.md#health) [b](docs/none.md) [c](#none) [d](docs/api.md#none) [e](../x) `[f](none)`\n# None such'
    expect(broken('README.md', text)).toEqual(['docs/none.md', '#none', 'docs/api.md#none', '../x'])
  })
})

describe('docs/settings.md', () => {
  const table = rows(read('docs/settings.md')).filter(([name]) => /^`[A-Z_]+`$/.test(name))
  const of = (/** @type {string} */ name) => table.find(([cell]) => cell === `\`${name}\``) ?? []
  const config = source('src/config.rs')
  const program = source('src/bin/audit-anomaly.rs')

  test('names exactly the variables that the source reads', () => {
    const read = all(/"((?:ANOMALY|HF|HUGGINGFACE|XDG)_[A-Z_]+|HOME|USERPROFILE)"/g, config)
    const flags = all(/env = "([A-Z_]+)"/g, program)
    expect(read.length).toBeGreaterThan(30)
    expect(table.map(([name]) => name.replaceAll('`', '')).sort()).toEqual(sorted([...read, ...flags]))
  })

  test('has the flags of the program', () => {
    const arguments_ = [...program.matchAll(/#\[arg\(long, env = "([A-Z_]+)"[^\]]*\)\]\s+([a-z_]+):/g)]
    expect(arguments_.length).toBeGreaterThan(20)
    const flags = new Map(arguments_.map(([, name, field]) => [name, `\`--${field.replaceAll('_', '-')}\``]))
    for (const [cell, flag] of table) {
      const name = cell.replaceAll('`', '')
      if (name.startsWith('ANOMALY_')) expect([name, flag]).toEqual([name, flags.get(name) ?? 'none'])
    }
  })

  test('has the defaults and bounds of the whole numbers', () => {
    // Of Rust's notation for numbers, these are written in JavaScript's way but for the size of the integers.
    const value = (/** @type {string} */ rust) => {
      const [, base, shift = '0'] = /^([\d_]+)(?: << (\d+))?$/.exec(rust.trim()) ?? []
      return String(BigInt(base.replaceAll('_', '')) << BigInt(shift))
    }
    const integers = [...config.matchAll(/env\.integer\("([A-Z_]+)", ([^,]+), ([^.]+)\.\.=([^)]+)\)/g)]
    const seconds = [...config.matchAll(/seconds\("([A-Z_]+)", (\d+)\)/g)]
    const [, least, most] = /env\.integer\(name, default, (\d+)\.\.=([\d_]+)\)/.exec(config) ?? []
    expect([integers.length, seconds.length]).toEqual([9, 4])
    for (const [, name, initial, from, to] of integers) {
      expect([name, ...of(name).slice(2, 4)]).toEqual([name, value(initial), `${value(from)} to ${value(to)}`])
    }
    for (const [, name, initial] of seconds) {
      expect([name, ...of(name).slice(2, 4)]).toEqual([name, initial, `${least} to ${value(most)}`])
    }
    expect(of('ANOMALY_THRESHOLD')[2]).toBe(/threshold[^}]*unwrap_or\(([\d.]+)\)/.exec(config)?.[1])
  })

  test('the addon is handed each of the variables', () => {
    const [, pattern] = /const VARIABLE = \/(.+)\/\n/.exec(read('index.js')) ?? []
    for (const [name] of table) expect(name.replaceAll('`', '')).toMatch(new RegExp(pattern))
  })
})

describe('docs/troubleshooting.md', () => {
  const text = read('docs/troubleshooting.md')
  const errors = source('src/error.rs')
  const codes = all(/=> "([A-Z_]+)"/g, errors)
  const answers = source('src/server/answer.rs')

  test('has a section for exactly the codes of the source', () => {
    expect(codes.length).toBeGreaterThan(5)
    expect(all(/^## ([A-Z_]+)$/gm, text)).toEqual(codes)
  })

  test('has their statuses and exit codes', () => {
    const table = (/** @type {string} */ name) => {
      const body = errors.split(`pub fn ${name}`)[1].split('\n    }\n')[0]
      const arms = [...body.matchAll(/((?:Error::\w+[^=|]*\|?\s*)+)=> (\d+)/g)]
      return new Map(arms.flatMap(([, cases, value]) => all(/Error::(\w+)/g, cases).map((name) => [name, value])))
    }
    const [status, exit] = [table('http_status'), table('exit_code')]
    const expected = [...errors.matchAll(/Error::(\w+).*=> "([A-Z_]+)"/g)].map(([, name, code]) => [
      `\`${code}\``,
      status.get(name),
      exit.get(name),
    ])
    expect(expected.flat()).not.toContain(undefined)
    expect(rows(text).slice(1, 1 + expected.length)).toEqual(expected)
  })

  test('has the codes of the server besides', () => {
    const listed = rows(text.split('## Refusals of the server alone')[1]).flatMap(([cell]) =>
      all(/^`([A-Z_]+)`$/g, cell),
    )
    const found = all(/Some\("([A-Z_]+)"\)/g, answers).filter((code) => !codes.includes(code))
    expect(sorted(listed)).toEqual(sorted(found))
  })
})

test('docs/api.md has every export, field and option', () => {
  const text = read('docs/api.md')
  const types = read('index.d.ts')
  const exported = Object.keys(require('..'))
  const members = all(/^ {2}(?:readonly )?(\w+)\??: /gm, types).filter((name) => name !== 'name')
  expect(members.length).toBeGreaterThan(20)
  for (const name of [...exported, ...members]) expect(text).toMatch(new RegExp(`\\b${name}\\b`))
})

test('index.d.ts has the codes of the source, but for that of an abort, which nobody sees', () => {
  const codes = all(/=> "([A-Z_]+)"/g, source('src/error.rs')).filter((code) => code !== 'ABORTED')
  expect(all(/^ {2}\| '([A-Z_]+)'/gm, read('index.d.ts'))).toEqual(codes)
})

describe('docs/tuning.md', () => {
  const found = rows(read('docs/tuning.md'))
  const columns = ['f32, 1 thread', 'int8, 1 thread', 'f32, 2 threads', 'int8, 2 threads']
  const start = found.findIndex(([, ...heads]) => heads.join() === columns.join())

  test('has the figures of benchmark/RESULTS.md', () => {
    const results = read('benchmark/RESULTS.md')
    const measured = columns.map((name) => rows(results.split(`\n### ${name}\n`)[1].split('\n#')[0]))
    const table = found.slice(start + 1, start + 8)
    for (const [title, ...figures] of table) {
      const ours = measured.map((rows) => rows.find(([other]) => other === title)?.[1].split(' ')[0])
      expect([title, ...figures]).toEqual([title, ...ours])
    }
  })

  test('computes replicas as it says', () => {
    const rate = (/** @type {string} */ column) => Number(found[start + 1][1 + columns.indexOf(column)])
    const number = (/** @type {string} */ cell) => Number(cell.replaceAll(',', ''))
    const table = found.slice(found.findIndex(([head]) => head === 'lines a second') + 1)
    expect(table.length).toBe(5)
    for (const [lines, day, ...replicas] of table) {
      expect(number(day)).toBe(number(lines) * 86_400)
      const needed = ['f32, 2 threads', 'int8, 2 threads'].map((column) =>
        Math.ceil(number(lines) / (0.7 * rate(column))),
      )
      expect(replicas.map(Number)).toEqual(needed)
    }
  })
})

test('docs/scan.svg shows the scores of the bundled model', async () => {
  const shown = all(/<g>(.*)<\/g>/g, read('docs/scan.svg'))
    .map((row) => all(/<text[^>]*>([^<]*)<\/text>/g, row))
    .slice(2)
    .map(([id, score, verdict]) => ({ id: Number(id), score: Number(score), flagged: verdict === 'ANOMALY' }))
  expect(shown.length).toBe(20)
  const records = read('examples/audit.log')
    .split('\n')
    .slice(0, shown.length)
    .map((log_text, index) => ({ log_id: index + 1, log_text }))
  const { values } = await run(`out(await api.analyzeBatch(${JSON.stringify(records)}))`, { ANOMALY_MODEL: 'bundled' })
  values[0].forEach(({ log_id, anomaly_score, is_anomaly }, index) => {
    expect(shown[index]).toMatchObject({ id: log_id, flagged: is_anomaly })
    // Another processor adds in another order.
    expect(Math.abs(shown[index].score - anomaly_score)).toBeLessThan(0.00011)
  })
})
