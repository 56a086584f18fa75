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
const { existsSync, mkdirSync, openSync, readFileSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { buildProgram } = require('../../scripts/program.js')

const ROOT = join(__dirname, '..', '..')
const WORK = join(ROOT, 'target', 'test-server')

/** How long a browser may take for one step, in milliseconds: the machine may be busy. */
const PATIENCE = 120_000

/** @param {string} command @param {string[]} args @param {import('node:child_process').SpawnSyncOptions} [options] */
function run(command, args, options) {
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 2, 2], ...options })
  if (status !== 0) throw new Error(`"${command} ${args.join(' ')}" failed${error ? `: ${error.message}` : ''}`)
}

/** Does `make` unless `product` is there and was made for the same content of `file`. @param {string} file @param {string} product @param {() => void} make */
function once(file, product, make) {
  const stamp = join(product, '.stamp')
  const digest = createHash('sha256').update(readFileSync(file)).digest('hex')
  if (existsSync(product) && existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return
  make()
  writeFileSync(stamp, digest)
}

/** @param {string} command @param {string[]} args */
const works = (command, ...args) => spawnSync(command, args, { stdio: 'ignore' }).status === 0

/** Installs packages of Debian. @param {string[]} packages */
function install(...packages) {
  const apt = process.getuid?.() === 0 ? ['apt-get'] : ['sudo', 'apt-get']
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  console.error(`> installing ${packages.join(', ')}`)
  // The lists of a bare machine are empty or old.
  for (const args of [
    ['update', '-qq'],
    ['install', '-y', '-qq', '--no-install-recommends', ...packages],
  ]) {
    run(apt[0], [...apt.slice(1), ...args], { env, stdio: ['ignore', 'ignore', 2] })
  }
}

/** Where Chromium is. @returns {string} */
function chromium() {
  const names = ['chromium', 'chromium-browser', 'google-chrome']
  const find = () => names.find((name) => works(name, '--version'))
  // Without a font its pages have boxes for letters.
  if (!find()) install('chromium', 'fonts-liberation')
  return spawnSync('which', [find() ?? 'chromium'], { encoding: 'utf8' }).stdout.trim()
}

/** @returns {Promise<{ url: string, stop: () => Promise<number | null> }>} */
async function serve() {
  const program = buildProgram()
  const env = { PATH: process.env.PATH, ANOMALY_MODEL: 'bundled' }
  // Into a file: nobody here reads a pipe while schemathesis runs, and a full one would hold the server up.
  const log = join(WORK, 'server.log')
  const child = spawn(program, ['serve', '--port', '0'], { env, stdio: ['ignore', 'ignore', openSync(log, 'w')] })
  const exited = new Promise((resolve) => child.once('exit', resolve))
  const deadline = Date.now() + 60_000
  let url = ''
  for (let ready = false; !ready; ) {
    assert.ok(Date.now() < deadline && child.exitCode === null, `the server becomes ready:\n${readFileSync(log)}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
    url = /http:\/\/[\d.]+:\d+/.exec(readFileSync(log, 'utf8'))?.[0] ?? ''
    ready = url !== '' && (await fetch(`${url}/ready`)).ok
  }
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
  once(requirements, venv, () => {
    if (!works('python3', '-c', 'import ensurepip, venv')) install('python3', 'python3-venv')
    run('python3', ['-m', 'venv', '--clear', venv])
    run(join(venv, 'bin', 'python'), ['-m', 'pip', 'install', '--quiet', '--requirement', requirements])
  })
  return join(venv, 'bin', name)
}

/** The manifests against the schemas of Kubernetes, and the unit by systemd itself where there is one. */
function checkDeployment() {
  const manifest = join(ROOT, 'deploy', 'kubernetes', 'audit-anomaly.yaml')
  run(tool('kubernetes-validate'), ['--kubernetes-version', '1.33', '--strict', manifest])
  if (!works('systemd-analyze', '--version')) {
    console.log('deploy/audit-anomaly.service: skipped, there is no systemd-analyze here')
    return
  }
  // Where the program is installed on this machine does not matter.
  const unit = readFileSync(join(ROOT, 'deploy', 'audit-anomaly.service'), 'utf8')
  const copy = join(WORK, 'audit-anomaly.service')
  writeFileSync(copy, unit.replace('/usr/local/bin/audit-anomaly', '/bin/true'))
  run('systemd-analyze', ['verify', '--man=no', copy])
  const security = ['security', '--offline=true', '--threshold=20', '--no-pager', copy]
  const { status, stdout } = spawnSync('systemd-analyze', security, { encoding: 'utf8' })
  assert.equal(status, 0, stdout)
  console.log('deploy/: the manifests and the unit are valid')
}

/** What the description allows, and what it does not: no server error, no undocumented answer. @param {string} url */
function sendEverything(url) {
  // What FastAPI takes and the schema does not, "1" as a number say, is taken here too.
  const options = ['--checks', 'all', '--exclude-checks', 'negative_data_rejection']
  options.push('--max-examples', '100', '--seed', '7', '--request-timeout', '60')
  run(tool('schemathesis'), ['run', `${url}/openapi.json`, ...options], { cwd: WORK })
}

/** @param {string} url */
async function openPages(url) {
  const packages = join(__dirname, 'node_modules')
  const npm = ['install', '--no-save', '--ignore-scripts', '--no-fund', '--no-audit']
  once(join(__dirname, 'package-lock.json'), packages, () => run('npm', npm, { cwd: __dirname }))
  const browser = await require('puppeteer-core').launch({
    executablePath: chromium(),
    // It opens nothing but our own pages; in a container there is no sandbox, and little of /dev/shm.
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
    timeout: PATIENCE,
    protocolTimeout: PATIENCE,
  })
  try {
    const page = await browser.newPage()
    page.setDefaultTimeout(PATIENCE)
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
