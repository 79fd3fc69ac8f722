// Chromium by playwright-core, told by lines of JSON what to do: a call is a way from a page to what it is called on, as
// [method, ...arguments] each, the last of them the call itself. Every page keeps what it asked for and complained of.
// Each call that can wait has playwright's own deadline; nothing here sleeps.

import { createInterface } from "node:readline"
import { createRequire } from "node:module"

const [modules, executablePath] = process.argv.slice(2)
const { chromium } = createRequire(`${modules}/`)("playwright-core")
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-sync", "--mute-audio", "--disable-dev-shm-usage"]
args.push("--disable-background-networking", "--disable-component-update", "--no-first-run", "--autoplay-policy=no-user-gesture-required")
const browser = await chromium.launch({ executablePath, args, chromiumSandbox: false })
const pages = new Map()

async function open(id, options) {
  const context = await browser.newContext({ serviceWorkers: "block", ...options })
  context.setDefaultTimeout(60_000)
  const page = await context.newPage()
  const requests = []
  const complaints = []
  pages.set(id, { context, page, requests, complaints })
  page.on("request", (request) => requests.push({ method: request.method(), url: request.url(), headers: request.headers(), size: request.postDataBuffer()?.length ?? 0 }))
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(`${message.text()} ${message.location().url ?? ""}`))
  page.on("pageerror", (error) => complaints.push(String(error)))
  page.on("dialog", (dialog) => (complaints.push(`dialog: ${dialog.message()}`), dialog.dismiss().catch(() => undefined)))
}

async function close(id) {
  await pages.get(id)?.context.close()
  pages.delete(id)
}

async function call(id, way) {
  let at = pages.get(id).page
  for (const [method, ...given] of way) {
    at = await at[method](...given)
  }
  return at
}

async function download(id, way, target) {
  const [downloaded] = await Promise.all([pages.get(id).page.waitForEvent("download"), call(id, [...way, ["click"]])])
  await downloaded.saveAs(target)
  return downloaded.suggestedFilename()
}

// Not waitForFunction, which evaluates text in the page: its policy forbids that to everybody.
async function until(id, expression) {
  const { page } = pages.get(id)
  const deadline = Date.now() + 60_000
  while (!(await page.evaluate(expression))) {
    if (Date.now() > deadline) throw new Error(`it never came true: ${expression}`)
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)))
  }
}

const key = (id, name) => pages.get(id).page.keyboard.press(name)
const kept = (id) => ({ requests: pages.get(id).requests, complaints: pages.get(id).complaints })
const commands = { open, close, call, download, until, key, kept }

for await (const line of createInterface({ input: process.stdin })) {
  const [command, ...given] = JSON.parse(line)
  try {
    const value = await commands[command](...given)
    console.log(JSON.stringify({ value: isPlain(value) ? (value ?? null) : null }))
  } catch (error) {
    console.log(JSON.stringify({ error: String(error.message ?? error) }))
  }
}
await browser.close()

function isPlain(value) {
  if (value === null || typeof value !== "object") return true
  return Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype
}
