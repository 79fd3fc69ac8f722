/** What is in a payload, as far as it can be shown without running any of it. */

import { fill, h } from "../lib/dom.js"
import { blobPath } from "../lib/api.js"
import { sizeText } from "../lib/format.js"
import { failure, panel } from "../lib/widgets.js"
import { audio, image, video } from "./media.js"
import { bytes, csv, json, text } from "./text.js"

export const HEAD_BYTES = 64 << 10

/** @typedef {import("../lib/shell.js").App} App */

/** What a preview draws from: the head of the payload is fetched only where it is looked at.
 * @typedef {{ app: App, blob: any, signal: AbortSignal, head: () => Promise<Uint8Array> }} Source */

/** The first that knows the type, else the extension where the type says nothing. */
const KINDS = /** @type {[RegExp, RegExp | null, (source: Source) => any][]} */ ([
  [/^image\//, null, image],
  [/^video\//, null, video],
  [/^audio\//, null, audio],
  [/^text\/(csv|tab-separated-values)/, /\.(csv|tsv)$/i, csv],
  [/^application\/(.*\+)?json/, /\.(json|geojson|ipynb)$/i, json],
  [/^text\/|^application\/(.*\+)?(xml|javascript|yaml|toml|x-sh|sql|x-ndjson)/, /\.(txt|md|log|py|js|sh|c|h|rs|go|toml|ya?ml|ini|conf|xml|html?|svg|sql|tex)$/i, text],
])
const TELLS_NOTHING = /^application\/octet-stream|^binary\//

/** @param {App} app @param {any} blob @param {AbortSignal} signal */
export function preview(app, blob, signal) {
  const place = h("div", { class: "preview" }, h("p", { class: "loading" }, "Loading …"))
  const head = () => app.api.head(blobPath(blob.uuid, "data"), HEAD_BYTES, signal)
  const show = async () => {
    try {
      const shown = blob.size ? await drawn({ app, blob, signal, head }) : h("p", { class: "hint" }, "It is empty: no bytes at all.")
      if (!signal.aborted) fill(place, shown)
    } catch (error) {
      if (!signal.aborted) fill(place, failure(error, show))
    }
  }
  show()
  const part = blob.size > HEAD_BYTES ? h("span", { class: "muted" }, sizeText(blob.size)) : null
  return panel("Preview", part, place)
}

/** @param {Source} source */
function drawn(source) {
  const { content_type: type, filename, names } = source.blob
  const name = filename ?? names?.[0]?.name ?? ""
  const kind = KINDS.find(([types]) => types.test(type)) ?? (TELLS_NOTHING.test(type) ? KINDS.find(([, ends]) => ends?.test(name)) : undefined)
  return (kind?.[2] ?? bytes)(source)
}
