/** The first page: the namespaces that the token is of. */

import { h } from "../lib/dom.js"
import { sizeText } from "../lib/format.js"
import { icon } from "../lib/icons.js"
import { listing, row } from "../lib/listing.js"
import { link } from "../lib/router.js"
import { badge, empty } from "../lib/widgets.js"

/** @param {import("../lib/shell.js").App} app @param {any} _ @param {AbortSignal} signal */
export async function render(app, _, signal) {
  const fetch = async (/** @type {string | null} */ cursor, /** @type {number} */ limit) => {
    const page = await app.api.get("/v1/namespaces", { cursor, limit }, signal)
    return { rows: page.items.map(namespaceRow), next: page.next }
  }
  const list = await listing({ label: "Namespaces", fetch, empty: nothing, signal })
  const lead = app.isAdmin() ? "Each owns its names and blobs." : "Those that your token is of."
  return { title: "Namespaces", crumbs: [], body: [h("div", { class: "title" }, h("h1", null, "Namespaces"), h("p", { class: "lead" }, lead)), list] }
}

/** @param {any} namespace */
function namespaceRow(namespace) {
  const { name, anonymous_read: isOpen, quota_bytes: quota, keep_versions: kept } = namespace
  const details = [
    isOpen && badge("open to read", "warn"),
    quota !== null && h("span", { class: "muted" }, `quota ${sizeText(quota)}`),
    kept !== null && h("span", { class: "muted" }, `keeps ${kept} versions`),
  ].filter(Boolean)
  return row({ href: link.folder(name), icon: icon("archive"), label: name, details })
}

function nothing() {
  return empty(
    "There is no namespace yet",
    h("p", null, "A namespace owns names and blobs. It comes to be with the first token that is made for it:"),
    h("pre", null, 'casd token create "node 7" --role writer --namespace cluster'),
  )
}
