/** Find by checksum, by UUID, or by how a name begins. */

import { h } from "../lib/dom.js"
import { blobPath, namePath } from "../lib/api.js"
import { size, stripe, time } from "../lib/format.js"
import { icon, iconOfType } from "../lib/icons.js"
import { row } from "../lib/listing.js"
import { Problem } from "../lib/problems.js"
import { link } from "../lib/router.js"
import { button, empty, panel } from "../lib/widgets.js"
import { nameRow } from "./folder.js"

const CHECKSUMS = { 128: "sha512", 64: "sha256", 32: "xxh3-128" } // by the number of hex digits
const WORDS = { sha512: "SHA-512", sha256: "SHA-256", "xxh3-128": "XXH3-128" }
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
const NAMESPACES = 50 // are searched by prefix
const EACH = 20 // names of each

/** @typedef {import("../lib/shell.js").App} App */

/** @param {App} app @param {{ query?: string }} params @param {AbortSignal} signal */
export async function render(app, { query = "" }, signal) {
  const heading = h("div", { class: "title" }, h("h1", null, "Find"), query && h("p", { class: "lead query" }, query))
  const body = query ? await search(app, query, signal) : teach(app)
  return { title: query ? `Find ${query.slice(0, 40)}` : "Find", crumbs: [], body: [heading, body] }
}

/** @param {App} app @param {string} query @param {AbortSignal} signal */
async function search(app, query, signal) {
  const text = query.trim()
  const algorithm = /^[0-9a-f]+$/i.test(text) ? CHECKSUMS[text.length] : undefined
  if (UUID.test(text)) return byUuid(app, text, signal)
  if (algorithm) return byChecksum(app, algorithm, text, signal)
  return byPrefix(app, text, signal)
}

/** @param {App} app @param {string} uuid @param {AbortSignal} signal */
async function byUuid(app, uuid, signal) {
  try {
    return blobs("Blob with this UUID", [await app.api.get(blobPath(uuid), {}, signal)])
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return empty("No blob has this UUID", h("p", null, "It was deleted, it expired, or it belongs to a namespace that your token is not of."))
    throw error
  }
}

/** @param {App} app @param {string} algorithm @param {string} hex @param {AbortSignal} signal */
async function byChecksum(app, algorithm, hex, signal) {
  const { items } = await app.api.get(`/v1/checksums/${algorithm}/${hex}`, {}, signal)
  if (items.length) return blobs(`Content with this ${WORDS[algorithm]}`, items)
  return empty(`No content has this ${WORDS[algorithm]}`, h("p", null, "The store does not have it in your namespaces. Drop the file on this page to store it."))
}

/** @param {App} app @param {string} prefix @param {AbortSignal} signal */
async function byPrefix(app, prefix, signal) {
  const { items: namespaces } = await app.api.get("/v1/namespaces", { limit: NAMESPACES }, signal)
  const pages = await Promise.all(
    namespaces.map(async (/** @type {any} */ { name: namespace }) => {
      const { items, next } = await app.api.get(namePath(namespace), { prefix, limit: EACH }, signal)
      return { namespace, items, next }
    }),
  )
  const hits = pages.filter(({ items }) => items.length)
  if (!hits.length) {
    return empty(
      `No name begins with “${prefix}”`,
      h("p", null, "Names are looked for from their beginning, with their folders, and by case. Checksums are looked for whole: 128, 64 or 32 hex digits."),
    )
  }
  return hits.map(({ namespace, items, next }) =>
    panel(
      h("a", { href: link.folder(namespace) }, namespace),
      null,
      h("div", { class: "listing", role: "list", "aria-label": `Names in ${namespace}` }, items.map((/** @type {any} */ version) => nameRow("", version))),
      next && h("p", { class: "hint" }, `The first ${EACH} are shown. Type more of the name, or browse `, h("a", { href: link.folder(namespace) }, namespace), "."),
    ),
  )
}

/** Blobs, each with the names that hold it. @param {string} title @param {any[]} items */
export function blobs(title, items) {
  const rows = items.flatMap((blob) => [
    row({ href: link.blob(blob.uuid), icon: icon(iconOfType(blob.content_type)), label: blob.filename || blob.uuid, details: [h("span", { class: "muted" }, blob.namespace), size(blob.size), time(blob.created_at)] }),
    ...blob.names.map((/** @type {any} */ ref) => row({ href: link.name(ref.namespace, ref.name, ref.version), icon: icon("arrow"), label: ref.name, details: [h("span", { class: "muted" }, `version ${ref.version} in ${ref.namespace}`)] })),
  ])
  return panel([title, " ", items[0] && stripe(items[0].sha512)], null, h("div", { class: "listing", role: "list", "aria-label": title }, rows))
}

/** @param {App} app */
function teach(app) {
  return empty(
    "What are you looking for?",
    h(
      "ul",
      { class: "teach" },
      h("li", null, icon("file"), h("span", null, h("strong", null, "A file that you have. "), "Drop it anywhere on this page: it is hashed here, and only its digest is asked for."), button("Choose a file", { onclick: () => app.tray.choose() })),
      h("li", null, icon("key"), h("span", null, h("strong", null, "A checksum. "), "SHA-512, SHA-256 or XXH3-128, in hex, in the box above.")),
      h("li", null, icon("search"), h("span", null, h("strong", null, "A UUID, "), "or how a name begins, with its folders.")),
    ),
    h("p", { class: "hint" }, "The key / leads to the box from everywhere."),
  )
}
