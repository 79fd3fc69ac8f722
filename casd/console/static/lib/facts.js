/** What is known of a blob, as both its own page and the page of its name show it. */

import { h } from "./dom.js"
import { absoluteTime, size, stripe, time } from "./format.js"
import { link } from "./router.js"
import { badge, copyable, facts, panel } from "./widgets.js"

/** @param {any} blob @param {[string, any][]} [more] */
export function blobFacts(blob, more = []) {
  return facts([
    ["Size", size(blob.size)],
    ["Type", blob.content_type],
    ["Filename", blob.filename],
    ...more,
    ["Stored", time(blob.created_at)],
    ["Expires", blob.expires_at && [time(blob.expires_at), h("small", { class: "muted" }, ` ${absoluteTime(blob.expires_at)}`)]],
    ["State", blob.state === "error" && badge("damaged: in quarantine", "danger")],
  ])
}

/** @param {any} blob */
export function digests(blob) {
  return panel(
    ["Content ", stripe(blob.sha512)],
    null,
    h("p", { class: "hint" }, "Equal bytes have equal digests: whoever computes one elsewhere finds this content here."),
    facts([
      ["SHA-512", copyable("SHA-512", blob.sha512)],
      ["SHA-256", copyable("SHA-256", blob.sha256)],
      ["XXH3-128", copyable("XXH3-128", blob.xxh3_128)],
      ["Blob", copyable("UUID", blob.uuid, link.blob(blob.uuid))],
    ]),
  )
}
