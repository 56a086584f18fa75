#!/usr/bin/env node
/**
 * Tests of the server that need more than this project's own tools, which it installs: schemathesis (a venv of its own)
 * sends what /openapi.json allows and what it does not, Chromium (of the system) opens /docs and /redoc, and the files of
 * deploy/ are held against their schemas.
 *
 *     npm run test:server
 */

const assert = require('node:assert/strict')
const { spawn, spawnSync } = require('node:child_process')
const { createHash } = require('node:crypto')
const { existsSync, mkdirSync, readFileSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { createInterface } = require('node:readline')

const ROOT = join(__dirname, '..', '..')
const WORK = join(ROOT, 'target', 'test-server')

/** @param {string} command @param {string[]} args @param {import('node:child_process').SpawnSyncOptions} [options] */
function run(command, args, options) {
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 2, 2], ...options })
  if (status !== 0) throw new Error(`"${command} ${args.join(' ')}" failed${error ? `: ${error.message}` : ''}`)
}

/** Does `make` unless it was done for the same content of `file`. @param {string} file @param {() => void} make */
function once(file, make) {
  const digest = createHash('sha256').update(readFileSync(file)).digest('hex')
  const stamp = join(WORK, `${createHash('sha256').update(file).digest('hex')}.stamp`)
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return
  make()
  writeFileSync(stamp, digest)
}

function chromium() {
  const names = ['chromium', 'chromium-browser', 'google-chrome']
  const find = () => names.find((name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0)
  const found = find()
  if (found) return found
  const sudo = process.getuid?.() === 0 ? [] : ['sudo']
  const install = [...sudo, 'apt-get', 'install', '-y', '-qq', '--no-install-recommends', 'chromium']
  run(install[0], install.slice(1))
  return find() ?? 'chromium'
}

/** @returns {Promise<{ url: string, stop: () => Promise<number | null> }>} */
async function serve() {
  const args = ['build', '--release', '--no-default-features', '--features', 'server', '--bin', 'audit-anomaly']
  const { stdout, status } = spawnSync('cargo', [...args, '--message-format', 'json'], {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 2],
    maxBuffer: 1 << 28,
  })
  assert.equal(status, 0, 'the program builds')
  const messages = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const program = messages.find(({ executable }) => executable)?.executable
  const env = { PATH: process.env.PATH, ANOMALY_MODEL: 'bundled' }
  const child = spawn(program, ['serve', '--port', '0'], { env, stdio: ['ignore', 'ignore', 'pipe'] })
  const exited = new Promise((resolve) => child.once('exit', resolve))
  const lines = createInterface({ input: child.stderr })
  const url = await new Promise((resolve, reject) => {
    lines.on('line', (line) => {
      const found = /http:\/\/[\d.]+:\d+/.exec(line)
      if (found) resolve(found[0])
    })
    exited.then((code) => reject(new Error(`the server ended with ${code}`)))
  })
  while (!(await fetch(`${url}/ready`)).ok) await new Promise((resolve) => setTimeout(resolve, 20))
  return {
    url,
    stop: () => {
      child.kill('SIGTERM')
      return exited
    },
  }
}

/** A program of requirements.txt. @param {string} name */
function tool(name) {
  const requirements = join(__dirname, 'requirements.txt')
  const venv = join(WORK, 'venv')
  once(requirements, () => {
    run('python3', ['-m', 'venv', venv])
    run(join(venv, 'bin', 'python'), ['-m', 'pip', 'install', '--quiet', '--requirement', requirements])
  })
  return join(venv, 'bin', name)
}

/** The manifests against the schemas of Kubernetes, and the unit by systemd itself where there is one. */
function checkDeployment() {
  const manifest = join(ROOT, 'deploy', 'kubernetes', 'audit-anomaly.yaml')
  run(tool('kubernetes-validate'), ['--kubernetes-version', '1.33', '--strict', manifest])
  if (spawnSync('systemd-analyze', ['--version'], { stdio: 'ignore' }).status !== 0) {
    console.log('deploy/audit-anomaly.service: skipped, there is no systemd-analyze here')
    return
  }
  // Where the program is installed on this machine does not matter.
  const unit = readFileSync(join(ROOT, 'deploy', 'audit-anomaly.service'), 'utf8')
  const copy = join(WORK, 'audit-anomaly.service')
  writeFileSync(copy, unit.replace('/usr/local/bin/audit-anomaly', '/bin/true'))
  run('systemd-analyze', ['verify', '--man=no', copy])
  run('systemd-analyze', ['security', '--offline=true', '--threshold=20', '--no-pager', copy])
  console.log('deploy/: the manifests and the unit are valid')
}

/** What the description allows, and what it does not: no server error, no undocumented answer. @param {string} url */
function sendEverything(url) {
  const checks = 'not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance'
  const options = ['--checks', checks, '--max-examples', '150', '--seed', '7', '--exclude-path', '/metrics']
  run(tool('schemathesis'), ['run', `${url}/openapi.json`, ...options], { cwd: WORK })
}

/** @param {string} url */
async function openPages(url) {
  const lock = join(__dirname, 'package-lock.json')
  const npm = ['install', '--no-save', '--ignore-scripts', '--no-fund', '--no-audit']
  once(lock, () => run('npm', npm, { cwd: __dirname }))
  const puppeteer = await import(
    join(__dirname, 'node_modules', 'puppeteer-core', 'lib', 'puppeteer', 'puppeteer-core.js')
  )
  const executablePath = spawnSync('which', [chromium()], { encoding: 'utf8' }).stdout.trim()
  const browser = await puppeteer.default.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] })
  try {
    const page = await browser.newPage()
    await page.setViewport({ width: 1280, height: 1000 })
    /** @type {string[]} */
    const troubles = []
    page.on('pageerror', (error) => troubles.push(String(error)))
    page.on('console', (message) => {
      if (message.type() === 'error') troubles.push(message.text())
    })
    page.on('request', (request) => {
      const other = !request.url().startsWith(url) && !/^(data|blob):/.test(request.url())
      if (other) troubles.push(`it asks ${request.url()}`)
    })

    await page.goto(`${url}/docs`, { waitUntil: 'networkidle0' })
    const post = '#operations-scores-analyze_log'
    await (await page.waitForSelector(post)).click()
    await (await page.waitForSelector(`${post} .try-out__btn`)).click()
    const area = await page.waitForSelector(`${post} textarea`)
    await area.click({ count: 3 })
    await page.keyboard.down('Control')
    await page.keyboard.press('a')
    await page.keyboard.up('Control')
    await area.type('{"log_id": 7, "log_text": "Failed login attempt"}')
    await (await page.waitForSelector(`${post} .execute`)).click()
    const answer = await page.waitForSelector(`${post} .live-responses-table .highlight-code code`)
    const text = await answer.evaluate((node) => node.textContent ?? '')
    const { log_id, is_anomaly, anomaly_score } = JSON.parse(text)
    assert.deepEqual([log_id, is_anomaly], [7, true], 'Swagger UI scores "Failed login attempt"')
    await page.screenshot({ path: join(WORK, 'docs.png') })
    console.log(`/docs: "Try it out" scores ${anomaly_score}`)

    await page.goto(`${url}/redoc`, { waitUntil: 'networkidle0' })
    await page.waitForFunction(() => document.body.textContent?.includes('Scores a list of lines'))
    await page.screenshot({ path: join(WORK, 'redoc.png') })
    console.log('/redoc: shows the routes')
    assert.deepEqual(troubles, [], 'nothing goes wrong in the pages, and no other host is asked')
  } finally {
    await browser.close()
  }
}

async function main() {
  mkdirSync(WORK, { recursive: true })
  checkDeployment()
  const { url, stop } = await serve()
  try {
    sendEverything(url)
    await openPages(url)
  } finally {
    assert.equal(await stop(), 0, 'the server ends with 0')
  }
}

main().catch((error) => {
  console.error(`test:server: ${error.stack}`)
  process.exitCode = 1
})
