/** A blob: its digests, what is said about it, and what holds it. */

import { h } from "../lib/dom.js"
import { blobPath } from "../lib/api.js"
import { deleteBlob } from "../lib/deleting.js"
import { download } from "../lib/downloading.js"
import { blobFacts, digests } from "../lib/facts.js"
import { counted, sizeText, time } from "../lib/format.js"
import { icon } from "../lib/icons.js"
import { metadataPanel } from "../lib/metadata.js"
import { link } from "../lib/router.js"
import { told } from "../lib/toast.js"
import { badge, button, panel } from "../lib/widgets.js"
import { preview } from "../previews/preview.js"

/** @typedef {import("../lib/shell.js").App} App */

/** @param {App} app @param {{ uuid: string }} params @param {AbortSignal} signal */
export async function render(app, { uuid }, signal) {
  const [blob, held] = await Promise.all([
    app.api.get(blobPath(uuid), {}, signal),
    app.api.get(blobPath(uuid, "holders"), {}, signal).catch(() => null), // who reads by UUID alone is not told
  ])
  const title = blob.filename || blob.names[0]?.name.split("/").pop() || "Blob"
  const remove = async () => {
    if (!(await deleteBlob(app, blob))) return
    app.toasts.say("The blob is deleted.")
    app.go(link.folder(blob.namespace))
  }
  return {
    title,
    crumbs: [{ label: "Namespaces", href: link.home() }, { label: blob.namespace, href: link.folder(blob.namespace) }, { label: title }],
    body: [
      h(
        "div",
        { class: "title" },
        h("h1", null, title, blob.state === "error" && badge("damaged", "danger")),
        h(
          "div",
          { class: "actions" },
          button("Download", { icon: "download", kind: "primary", onclick: told(app, () => download(app, blobPath(uuid, "data"))) }),
          app.mayDelete() && blob.holds_itself && button("Delete", { icon: "trash", onclick: remove }),
        ),
      ),
      h(
        "div",
        { class: "columns" },
        h("div", null, preview(app, blob, signal), held && holders(held)),
        h("div", null, panel("About", null, blobFacts(blob, [["Namespace", h("a", { href: link.folder(blob.namespace) }, blob.namespace)]])), digests(blob), metadataPanel(app, blob)),
      ),
    ],
  }
}

/** @param {any} held */
function holders(held) {
  const versions = held.versions.map((/** @type {any} */ ref) =>
    h(
      "li",
      null,
      icon("file"),
      h("a", { href: link.name(ref.namespace, ref.name, ref.version), "data-row": true }, ref.name),
      h("span", { class: "muted" }, `version ${ref.version} in ${ref.namespace}`),
      ref.hidden_at && badge("deleted", "warn"),
    ),
  )
  const more = held.version_count - held.versions.length
  return panel(
    "What holds it",
    null,
    h(
      "ul",
      { class: "holders" },
      held.holds_itself && h("li", null, icon("lock"), "Its own hold", h("span", { class: "muted" }, held.expires_at ? ["until it expires ", time(held.expires_at)] : "until the blob is deleted")),
      versions,
      more > 0 && h("li", null, `and ${counted(more, "more version")}`),
    ),
    h("p", { class: "hint" }, held.other_blobs ? `${counted(held.other_blobs, "other blob has", "other blobs have")} the same bytes, stored once.` : `No other blob has these bytes: when nothing holds it any more, ${sizeText(held.frees_bytes)} are freed.`),
  )
}
