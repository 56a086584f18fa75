/**
 * The code blocks of the documents do what they show: those of JavaScript here, and those that need npm or the program in
 * examples/test/documents.test.js, by `npm run test:examples`.
 */

const { Reader, needs, runAll, runnable } = require('./support/blocks.js')
const { WITH_BLOCKS } = require('./support/markdown.js')

const here = (blocks) => blocks.filter((block) => needs(block) === undefined)

test.each(WITH_BLOCKS.filter((file) => here(runnable(file)).length > 0))('%s', async (file) => {
  const reader = new Reader({ installed: true })
  try {
    await runAll(reader, file, here(runnable(file)))
  } finally {
    reader.close()
  }
})

test('the README has blocks to run, and shows what they print', () => {
  const blocks = runnable('README.md')
  expect(here(blocks).map(({ language }) => language)).toEqual(expect.arrayContaining(['js', 'sh']))
  expect(blocks.filter(({ prints }) => prints).length).toBeGreaterThanOrEqual(3)
})

describe('a document whose block', () => {
  const block = (language, code) => `\`\`\`${language}\n${code}\n\`\`\`\n`
  const run = async (text) => {
    const reader = new Reader({ installed: true })
    try {
      await runAll(reader, 'x.md', runnable('x.md', text))
    } finally {
      reader.close()
    }
  }

  test.each([
    ['throws', block('js', "throw new Error('broken')"), 'x.md:1: it ended with 1'],
    ['rejects', block('js', "require('audit-anomaly').analyzeLog({})"), 'INVALID_INPUT'],
    ['prints something else', block('js', 'console.log(1)') + block('text', '2'), 'x.md:1 prints'],
    ['prints other JSON', block('sh', "echo '[1, 2]'") + block('json', '[1]'), 'x.md:1 prints'],
    ['has a command that fails', block('sh', 'false | cat\ntrue'), 'x.md:1: it ended with 1'],
    ['nothing runs', block('toml', 'a = 1'), 'x.md:1: a block of toml that nothing runs'],
    ['shows the output of nothing', block('text', 'a'), 'x.md:1: a block of text that nothing runs'],
    ['is exempt without a reason', `<!-- not run -->\n${block('py', '1')}`, 'x.md:2: a block of py'],
  ])('%s is refused', async (_, text, message) => {
    await expect(run(text)).rejects.toThrow(message)
  })

  test('does what it shows is not', async () => {
    await run(
      block('js', '// a/b.mjs\nexport const a = 1') + block('js', "import { a } from './a/b.mjs'\nconsole.log(a)"),
    )
    await run(block('sh', 'sleep 60 &\necho "took 12 ms"') + block('text', 'took … ms'))
    await run(`<!-- not run: of another language -->\n\n${block('py', '1')}`)
  })
})
