/** All blobs of a namespace, those too that no name holds. */

import { h } from "../lib/dom.js"
import { size, time } from "../lib/format.js"
import { icon, iconOfType } from "../lib/icons.js"
import { listing, row } from "../lib/listing.js"
import { link } from "../lib/router.js"
import { badge, empty } from "../lib/widgets.js"

/** @param {import("../lib/shell.js").App} app @param {{ namespace: string }} params @param {AbortSignal} signal */
export async function render(app, { namespace }, signal) {
  const fetch = async (/** @type {string | null} */ cursor, /** @type {number} */ limit) => {
    const page = await app.api.get("/v1/blobs", { namespace, cursor, limit }, signal)
    return { rows: page.items.map(blobRow), next: page.next }
  }
  const nothing = () => empty("No blob is here yet", h("p", null, "Each file that is stored becomes one, with a name or without."))
  const list = await listing({ label: `Blobs of ${namespace}`, fetch, empty: nothing, signal })
  return {
    title: `Blobs of ${namespace}`,
    crumbs: [{ label: "Namespaces", href: link.home() }, { label: namespace, href: link.folder(namespace) }, { label: "Blobs" }],
    body: [h("div", { class: "title" }, h("h1", null, "Blobs"), h("p", { class: "lead" }, "The oldest first, with a name or without.")), list],
  }
}

/** @param {any} blob */
function blobRow(blob) {
  const [first] = blob.names
  const details = [
    blob.state === "error" && badge("damaged", "danger"),
    first ? h("span", { class: "muted" }, `version ${first.version}`) : badge("no name"),
    size(blob.size),
    time(blob.created_at),
  ].filter(Boolean)
  return row({ href: link.blob(blob.uuid), icon: icon(iconOfType(blob.content_type)), label: first?.name ?? blob.filename ?? blob.uuid, details })
}
