/** What is in a namespace, its names shown as folders. Typing narrows it to what begins so. */

import { fill, h } from "../lib/dom.js"
import { size, time } from "../lib/format.js"
import { icon, iconOfType } from "../lib/icons.js"
import { namePath } from "../lib/api.js"
import { listing, row } from "../lib/listing.js"
import { link } from "../lib/router.js"
import { badge, button, empty } from "../lib/widgets.js"

const PAUSE_MS = 180 // after the last key, before it is asked for

/** @param {import("../lib/shell.js").App} app @param {{ namespace: string, prefix: string }} params @param {AbortSignal} signal */
export async function render(app, { namespace, prefix: path }, signal) {
  const prefix = path && !path.endsWith("/") ? `${path}/` : path
  const place = h("div", null)
  const show = async (/** @type {string} */ start, /** @type {AbortSignal} */ until) => {
    fill(place, await entries(app, namespace, prefix, start, until))
  }
  const filter = h("input", { type: "search", placeholder: "Begins with …", "aria-label": "Names here that begin with", autocomplete: "off", spellcheck: "false" })
  let asked = new AbortController()
  let timer = 0
  const narrow = () => {
    asked.abort()
    asked = new AbortController()
    const until = AbortSignal.any([asked.signal, signal])
    clearTimeout(timer)
    timer = window.setTimeout(() => show(filter.value, until).catch((error) => until.aborted || Promise.reject(error)), PAUSE_MS)
  }
  filter.addEventListener("input", narrow)
  const upload = app.mayWrite() && button("Upload here", { icon: "upload", kind: "primary", onclick: () => app.tray.choose({ namespace, prefix }) })
  app.tray.goTo({ namespace, prefix }, signal)
  await show("", signal)
  const title = prefix.replace(/\/$/, "").split("/").pop() || namespace
  return {
    title,
    crumbs: crumbs(namespace, prefix),
    body: [h("div", { class: "title" }, h("h1", null, title), h("div", { class: "actions" }, h("div", { class: "filter" }, icon("search"), filter), upload)), place, !prefix && h("p", { class: "hint" }, h("a", { href: link.blobs(namespace) }, "All blobs of this namespace"), ", those without a name too.")],
  }
}

/** @param {import("../lib/shell.js").App} app @param {string} namespace @param {string} prefix @param {string} start @param {AbortSignal} signal */
function entries(app, namespace, prefix, start, signal) {
  const fetch = async (/** @type {string | null} */ cursor, /** @type {number} */ limit) => {
    const query = { prefix: prefix + start, delimiter: "/", cursor, limit }
    const page = await app.api.get(namePath(namespace), query, signal)
    const folders = page.folders.map((/** @type {string} */ folder) => folderRow(namespace, prefix, folder))
    return { rows: [...folders, ...page.items.map((/** @type {any} */ version) => nameRow(prefix, version))], next: page.next }
  }
  const nothing = () => (start ? noMatch(namespace, prefix + start) : emptyFolder(app, namespace, prefix))
  return listing({ label: `Names in ${namespace}/${prefix}`, fetch, empty: nothing, signal })
}

/** @param {string} namespace @param {string} prefix @param {string} folder its whole path, with the slash behind it */
function folderRow(namespace, prefix, folder) {
  return row({ href: link.folder(namespace, folder), icon: icon("folder"), label: folder.slice(prefix.length) })
}

/** @param {string} prefix @param {any} version */
export function nameRow(prefix, { namespace, name, version, created_at: at, blob }) {
  const details = [
    blob?.state === "error" && badge("damaged", "danger"),
    version > 1 && h("span", { class: "muted" }, `version ${version}`),
    blob && size(blob.size),
    time(at),
  ].filter(Boolean)
  return row({ href: link.name(namespace, name), icon: icon(iconOfType(blob?.content_type)), label: name.slice(prefix.length), details })
}

/** @param {string} namespace @param {string} prefix */
export function crumbs(namespace, prefix) {
  const segments = prefix.split("/").filter(Boolean)
  const folders = segments.map((label, at) => ({ label, href: link.folder(namespace, `${segments.slice(0, at + 1).join("/")}/`) }))
  const all = [{ label: "Namespaces", href: link.home() }, { label: namespace, href: link.folder(namespace) }, ...folders]
  return all.map((crumb, at) => (at === all.length - 1 ? { label: crumb.label } : crumb))
}

/** @param {string} namespace @param {string} name */
function noMatch(namespace, name) {
  return empty(
    "No name begins so",
    h("p", null, "Was it deleted? Then it is not listed, and its versions are still there for a while: ", h("a", { href: link.name(namespace, name) }, `look at ${name}`), "."),
  )
}

/** @param {import("../lib/shell.js").App} app @param {string} namespace @param {string} prefix */
function emptyFolder(app, namespace, prefix) {
  return empty(
    "Nothing has a name here yet",
    app.mayWrite() && h("p", null, "Drop a file anywhere on this page: if the store has it already, you are told where; if not, it is uploaded. On the command line:"),
    app.mayWrite() && h("pre", null, `casd put FILE ${prefix}NAME --namespace ${namespace}`),
    !app.mayWrite() && h("p", null, "Your token may read. Who has one that may write can store something here."),
  )
}
