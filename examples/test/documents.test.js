/** Every code block of the documents, in its order, with the package installed as the document says. */

const { readFileSync } = require('node:fs')
const { Reader, needs, runAll, runnable } = require('../../__test__/support/blocks.js')
const { WITH_BLOCKS } = require('../../__test__/support/markdown.js')
const { PICTURE, picture, scan } = require('../../scripts/picture.js')

const program = process.env.AUDIT_ANOMALY_PROGRAM

test('the program is there: npm run test:examples builds it', () => {
  expect(program).toBeDefined()
})

test.each(WITH_BLOCKS.filter((file) => runnable(file).length > 0))('%s', async (file) => {
  const blocks = runnable(file)
  // A document that does not say how to install the package is read by who has it.
  const installed = !blocks.some((block) => needs(block) === 'npm')
  const reader = new Reader({ program, installed })
  try {
    await runAll(reader, file, blocks)
  } finally {
    reader.close()
  }
})

test('the picture is what the program writes: npm run picture', () => {
  expect(readFileSync(PICTURE, 'utf8')).toBe(picture(scan(program)))
})
