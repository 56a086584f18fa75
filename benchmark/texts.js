/**
 * The texts of the benchmark, made by a seeded generator: the same ones on every machine, of an
 * exact number of tokens, [CLS] and [SEP] included, under the bundled model's tokenizer.
 *
 *     node texts.js FILE    writes { lengths: { 16: [text, ...], 64: ..., 256: ... }, lines: [{ tokens, text }, ...] }
 */

const { writeFileSync } = require('node:fs')
const { join } = require('node:path')

/** Texts of each length that is timed alone; several, so that no figure hangs on one text. */
const PER_LENGTH = 8
const LENGTHS = [16, 64, 256]

/** Lines of mixed length, and their distribution: log-normal, as log lines are, cut at both ends. */
const LINES = 1000
const [MEDIAN, SIGMA, SHORTEST, LONGEST] = [30, 0.8, 5, 200]

const WORDS = {
  level: ['INFO', 'INFO', 'INFO', 'WARN', 'ERROR', 'NOTICE'],
  service: ['auth', 'billing', 'orders', 'payroll', 'storage', 'gateway', 'backup', 'reports', 'directory'],
  person: ['a.keller', 'm.rossi', 't.okafor', 'l.haas', 'j.lind', 'n.dubois', 'root', 'admin', 'contractor'],
  role: ['administrator', 'auditor', 'cashier', 'supplier', 'accountant', 'manager', 'operator', 'guest'],
  verb: ['opened', 'changed', 'deleted', 'approved', 'rejected', 'exported', 'printed', 'locked', 'restored'],
  object: ['invoice', 'order', 'contract', 'password', 'customer record', 'price list', 'report', 'backup', 'account'],
  place: ['Zurich', 'Lyon', 'Basel', 'the head office', 'an unknown network', 'the warehouse', 'a mobile device'],
  result: ['succeeded', 'failed', 'was refused', 'timed out', 'is waiting for approval', 'was repeated twice'],
  reason: ['no reason was given', 'limit exceeded', 'wrong password', 'the session expired', 'disk is almost full'],
}

const CLAUSES = [
  'user {person} {verb} {object} {number} from {place}',
  'the {role} {person} {verb} the {object}',
  'login of {person} from {place} {result}: {reason}',
  '{object} {number} {verb} by {role} {person} and then {verb} again',
  'request {number} of {service} {result} after {number} ms',
  'transfer of {number} EUR to {place} {result}',
  'actor={person} action={verb} target={object} status={number}',
  '{service} wrote {number} rows for {place}, {reason}',
  'permission {role} for {person} {verb}',
]

/** Words of one token each, to fill a text up to its exact length. */
const FILLERS = ['user', 'order', 'report', 'file', 'account', 'server', 'failed', 'system', 'the', 'of']

/** Mulberry32: numbers from 0 up to 1. @param {number} seed */
function generator(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** @param {(text: string) => number} countTokens */
function makeTexts(countTokens) {
  const random = generator(20261124)
  /** @template T @param {T[]} choices */
  const pick = (choices) => choices[Math.floor(random() * choices.length)]
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  const digits = (/** @type {number} */ value) => String(Math.floor(value)).padStart(2, '0')

  const clause = () =>
    pick(CLAUSES).replace(/\{(\w+)\}/g, (_, kind) =>
      kind === 'number' ? String(Math.floor(10 ** (1 + 3 * random()))) : pick(WORDS[/** @type {'role'} */ (kind)]),
    )
  const heading = () => `2026-11-${digits(1 + 28 * random())} ${digits(24 * random())}:${digits(60 * random())}`

  /** A text of exactly so many tokens: clauses cut at a word, then single words. @param {number} tokens */
  function text(tokens) {
    const start =
      tokens < 20 || random() < 0.3 ? clause() : `${heading()} ${pick(WORDS.level)} ${pick(WORDS.service)} ${clause()}`
    let words = start.split(' ')
    while (countTokens(words.join(' ')) < tokens) words = `${words.join(' ')}, ${clause()}`.split(' ')
    while (countTokens(words.join(' ')) > tokens) words.pop()
    while (countTokens(words.join(' ')) < tokens) words.push(pick(FILLERS))
    const made = words.join(' ')
    if (countTokens(made) !== tokens) throw new Error(`"${made}" has not ${tokens} tokens; FILLERS must have one each`)
    return made
  }

  const length = () => Math.round(Math.min(LONGEST, Math.max(SHORTEST, MEDIAN * Math.exp(SIGMA * normal()))))
  return {
    lengths: Object.fromEntries(
      LENGTHS.map((tokens) => [tokens, Array.from({ length: PER_LENGTH }, () => text(tokens))]),
    ),
    lines: Array.from({ length: LINES }, () => {
      const tokens = length()
      return { tokens, text: text(tokens) }
    }),
  }
}

async function main() {
  const { AutoTokenizer, env } = await import('@huggingface/transformers')
  env.allowRemoteModels = false
  env.localModelPath = join(__dirname, '..')
  const tokenizer = await AutoTokenizer.from_pretrained('model')
  const texts = makeTexts((text) => tokenizer.encode(text).length)
  writeFileSync(process.argv[2], `${JSON.stringify(texts, null, 1)}\n`)
}

main()
