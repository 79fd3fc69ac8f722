/** Who did what to which blob, name, token or namespace, when, from where, and with which result. */

import { fill, h } from "../lib/dom.js"
import { absoluteTime, counted } from "../lib/format.js"
import { link } from "../lib/router.js"
import { tabs, WATCH } from "../watch/tabs.js"
import { told } from "../lib/toast.js"
import { badge, button, empty, failure, field, table } from "../lib/widgets.js"

const PAGE = 100
const EXPORT_LIMIT_BYTES = 256 << 20 // the browser holds it in memory until it is saved
const SPANS = /** @type {[string, string, number | null][]} */ ([
  ["hour", "the last hour", 3600],
  ["day", "the last day", 86400],
  ["week", "the last week", 604800],
  ["all", "all that is kept", null],
])
const KINDS = /** @type {[string, string][]} */ ([
  ["", "anything"],
  ["blob.", "with blobs"],
  ["name.", "with names"],
  ["version.", "with versions"],
  ["metadata.", "with metadata"],
  ["upload.", "with uploads"],
  ["token.", "with tokens"],
  ["namespace.", "with namespaces"],
  ["signing-key.", "with signing keys"],
  ["upkeep.", "upkeep"],
  ["auth.", "bad credentials"],
  ["access.", "refusals"],
])

/** @param {import("../lib/shell.js").App} app @param {Record<string, string>} params @param {AbortSignal} signal */
export async function render(app, params, signal) {
  const form = filters(params)
  const place = h("div", null)
  const query = queryOf(params)
  const rows = h("div", null)
  const show = async (/** @type {string | null} */ cursor) => {
    const page = await app.api.get("/v1/audit", { ...query, limit: PAGE, cursor }, signal)
    if (!page.items.length && !cursor) return fill(rows, nothing())
    const more = page.next && button("Show older", { onclick: () => show(page.next).then(() => foot.remove()).catch((error) => fill(foot, failure(error))) })
    const foot = h("div", { class: "listing-foot" }, more)
    rows.append(h("section", { class: "panel" }, table("Audit", ["When", "Who", "What", "Which", "Result", "From"], page.items.map(cells))), foot)
    return undefined
  }
  await show(null).catch((error) => signal.aborted || fill(rows, failure(error)))
  fill(place, rows)
  const actions = h("div", { class: "actions" }, button("Save as JSON lines", { icon: "download", onclick: told(app, () => save(app, query)) }))
  form.addEventListener("submit", (event) => {
    event.preventDefault()
    const chosen = [...new FormData(form)].filter(([, value]) => value)
    app.go(`#/watch/audit?${new URLSearchParams(/** @type {[string, string][]} */ (chosen))}`)
  })
  return { title: "Audit", body: [h("div", { class: "title" }, h("h1", null, "Watch"), actions), tabs("Watch", WATCH, "#/watch/audit"), form, place] }
}

/** @param {Record<string, string>} params */
function filters(params) {
  const choose = (/** @type {string} */ name, /** @type {[string, string, ...any[]][]} */ all, /** @type {string} */ chosen) =>
    h("select", { name }, all.map(([value, label]) => h("option", { value, selected: value === chosen }, label)))
  const text = (/** @type {string} */ name, /** @type {string} */ placeholder, /** @type {string} */ pattern = "") => h("input", { name, pattern: pattern || null, value: params[name] ?? "", placeholder, autocomplete: "off", spellcheck: "false" })
  return h(
    "form",
    { class: "filters", role: "search", "aria-label": "Audit" },
    field("When", choose("span", SPANS, params.span ?? "day")),
    field("What", choose("action", KINDS, params.action ?? "")),
    field("Who", text("principal", "a token's name")),
    field("Namespace", text("namespace", "default")),
    field("Name", text("name", "images/debian.qcow2")),
    field("Blob", text("blob", "a UUID", "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")),
    button("Show", { type: "submit", kind: "primary" }),
  )
}

/** @param {Record<string, string>} params */
function queryOf({ span = "day", action, principal, namespace, name, blob }) {
  const seconds = SPANS.find(([key]) => key === span)?.[2]
  const since = seconds ? new Date(Date.now() - seconds * 1000).toISOString() : undefined
  return Object.fromEntries(Object.entries({ since, action, principal, namespace, name, blob }).filter(([, value]) => value))
}

/** @param {any} entry */
function cells(entry) {
  const who = entry.principal ?? "anonymous"
  return [
    h("time", { datetime: entry.at }, absoluteTime(entry.at)),
    [who, entry.role && h("span", { class: "muted" }, ` ${entry.role}`)],
    [h("code", null, entry.action), entry.count > 1 && badge(counted(entry.count, "time")), entry.note && h("span", { class: "muted" }, ` ${entry.note}`)],
    which(entry),
    entry.result === "done" ? "done" : badge(entry.code ?? entry.result, entry.result === "denied" ? "warn" : "danger"),
    [entry.address ?? "", entry.dialect && h("span", { class: "muted" }, ` ${entry.dialect}`)],
  ]
}

/** @param {any} entry */
function which({ target, blob, namespace, name, version }) {
  if (name && namespace) return h("a", { href: link.name(namespace, name, version ?? undefined) }, target ?? name)
  if (blob) return h("a", { href: link.blob(blob) }, target ?? blob)
  return target ?? ""
}

/** @param {import("../lib/shell.js").App} app @param {Record<string, any>} query */
async function save(app, query) {
  const response = await app.api.ask("GET", "/v1/audit", { query: { ...query, format: "jsonl" } })
  /** @type {Uint8Array[]} */
  const chunks = []
  let size = 0
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader()
  for (let step = await reader.read(); !step.done; step = await reader.read()) {
    chunks.push(step.value)
    size += step.value.length
    if (size > EXPORT_LIMIT_BYTES) {
      await reader.cancel()
      throw new Error("this is more than a browser should hold: choose a shorter time, or use casd audit --json")
    }
  }
  const url = URL.createObjectURL(new Blob(/** @type {any[]} */ (chunks), { type: "application/jsonl" }))
  h("a", { href: url, download: "casd-audit.jsonl" }).click()
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
}

function nothing() {
  return empty("Nothing of that kind was done", h("p", null, "Writes, deletions, settings, tokens and refusals stand here, for as long as the configuration keeps them. Choose a longer time, or fewer conditions."))
}

