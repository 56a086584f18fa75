/**
 * A model hub on this machine that speaks the real one's protocol: `/<id>/resolve/<revision>/<file>`
 * with ranges, entity tags (git object id, or SHA-256 for large files, which are redirected to a
 * content server), commit header, and a redirect from a short name. Faults are scripted per file.
 */

const { createHash } = require('node:crypto')
const { readFileSync } = require('node:fs')
const { createServer } = require('node:http')
const { join } = require('node:path')

const TINY = join(__dirname, '..', 'fixtures', 'tiny')
const COMMIT = '0123456789abcdef0123456789abcdef01234567'
const FILES = ['config.json', 'vocab.txt', 'tokenizer_config.json', 'model.safetensors']

/** @param {Buffer} bytes */
const gitId = (bytes) => createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')
/** @param {Buffer} bytes */
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex')

class Hub {
  /**
   * @param {object} options
   * @param {string} options.id canonical id of the one model, `owner/name`
   * @param {string} [options.directory] where the model's files are, else the tiny model's
   * @param {string[]} [options.files] which of them it has
   * @param {string} [options.revision] the branch
   * @param {string} [options.token] asked for, if given
   */
  constructor({ id, directory = TINY, files = FILES, revision = 'main', token }) {
    this.id = id
    this.revision = revision
    this.token = token
    /** @type {Map<string, Buffer>} */
    this.files = new Map(files.map((name) => [name, readFileSync(join(directory, name))]))
    /** @type {{ method: string, url: string, authorization?: string }[]} */
    this.requests = []
    /**
     * Called for each request of a file, with how often the file was asked for before; whoever
     * returns true has answered.
     * @type {(request: import('http').IncomingMessage, response: import('http').ServerResponse,
     *   about: { name: string, content: boolean, count: number, bytes: Buffer }) => boolean | void}
     */
    this.fault = () => false
    this.counts = new Map()
    this.server = createServer((request, response) => this.answer(request, response))
  }

  /** @returns {Promise<this>} */
  start() {
    return new Promise((resolve) => this.server.listen(0, '127.0.0.1', () => resolve(this)))
  }

  stop() {
    this.server.closeAllConnections()
    return new Promise((resolve) => this.server.close(resolve))
  }

  get url() {
    return `http://127.0.0.1:${this.server.address().port}`
  }

  /** Paths that were asked for, without the query. */
  get paths() {
    return this.requests.map(({ url }) => url)
  }

  answer(request, response) {
    const { method, url, headers } = request
    this.requests.push({ method, url, authorization: headers.authorization })
    const content = /^\/content\/(.+)$/.exec(url)
    if (content) return this.file(request, response, content[1], true)

    const [, name, rest] = /^\/([^/]+)\/resolve\/(.+)$/.exec(url) ?? []
    if (name && this.id.endsWith(`/${name}`)) {
      return response.writeHead(307, { location: `/${this.id}/resolve/${rest}` }).end()
    }
    const [, id, revision, file] = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(url) ?? []
    if (this.token && headers.authorization !== `Bearer ${this.token}`) {
      return response.writeHead(401, { 'x-error-message': 'Invalid credentials' }).end('{"error":"unauthorized"}')
    }
    const known = id === this.id && (revision === this.revision || revision === COMMIT) && this.files.has(file)
    if (!known) return response.writeHead(404, { 'x-repo-commit': COMMIT }).end('Entry not found')
    return this.file(request, response, file, false)
  }

  file(request, response, name, content) {
    const bytes = this.files.get(name)
    const key = `${content}/${name}`
    const count = this.counts.get(key) ?? 0
    this.counts.set(key, count + 1)
    if (this.fault(request, response, { name, content, count, bytes })) return
    const large = name.endsWith('.safetensors')
    const common = { 'x-repo-commit': COMMIT, 'accept-ranges': 'bytes' }
    if (large && !content) {
      const linked = { 'x-linked-etag': `"${sha256(bytes)}"`, 'x-linked-size': bytes.length, etag: '"of the redirect"' }
      return response.writeHead(302, { ...common, ...linked, location: `${this.url}/content/${name}` }).end()
    }
    const etag = { etag: `"${large ? sha256(bytes) : gitId(bytes)}"` }
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? []
    if (from === undefined) {
      return response.writeHead(200, { ...common, ...etag, 'content-length': bytes.length }).end(bytes)
    }
    const start = Number(from)
    if (start >= bytes.length) return response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end()
    const end = to === '' ? bytes.length - 1 : Math.min(Number(to), bytes.length - 1)
    const part = bytes.subarray(start, end + 1)
    const range = { 'content-range': `bytes ${start}-${end}/${bytes.length}`, 'content-length': part.length }
    return response.writeHead(206, { ...common, ...etag, ...range }).end(part)
  }
}

module.exports = { Hub, COMMIT }
