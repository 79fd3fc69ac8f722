/** Payloads that were found damaged: what is known of each, whom it hits, and the ways out. */

import { h } from "../lib/dom.js"
import { ask } from "../lib/dialog.js"
import { sizeText, time } from "../lib/format.js"
import { icon } from "../lib/icons.js"
import { listing, row } from "../lib/listing.js"
import { tabs, WATCH } from "../watch/tabs.js"
import { told } from "../lib/toast.js"
import { badge, button, copyable, empty, facts, panel } from "../lib/widgets.js"
import { blobs } from "./find.js"

const SHORT = 20 // digits of a digest that tell it apart for a person

/** @param {import("../lib/shell.js").App} app @param {{ id?: string }} params @param {AbortSignal} signal */
export async function render(app, { id }, signal) {
  return id ? entryPage(app, id, signal) : listPage(app, signal)
}

/** @param {import("../lib/shell.js").App} app @param {AbortSignal} signal */
async function listPage(app, signal) {
  const fetch = async (/** @type {string | null} */ cursor, /** @type {number} */ limit) => {
    const page = await app.api.get("/v1/quarantine", { cursor, limit }, signal)
    return { rows: page.items.map(entryRow), next: page.next }
  }
  const list = await listing({ label: "Quarantine", fetch, empty: nothing, signal })
  return { title: "Quarantine", body: [h("div", { class: "title" }, h("h1", null, "Watch")), tabs("Watch", WATCH, "#/watch/quarantine"), list] }
}

/** @param {any} entry */
function entryRow(entry) {
  const details = [state(entry), entry.size !== null && h("span", { class: "number" }, sizeText(entry.size)), time(entry.quarantined_at)].filter(Boolean)
  return row({ href: `#/watch/quarantine/${encodeURIComponent(entry.id)}`, icon: icon("warning"), label: h("code", null, `${entry.sha512.slice(0, SHORT)}…`), details })
}

/** @param {any} entry */
const state = (entry) => badge(entry.state, entry.state === "damaged" ? "danger" : "ok")

/** @param {import("../lib/shell.js").App} app @param {string} id @param {AbortSignal} signal */
async function entryPage(app, id, signal) {
  const path = `/v1/quarantine/${encodeURIComponent(id)}`
  const entry = await app.api.get(path, {}, signal)
  const repair = async () => {
    const report = await app.api.send("POST", "/v1/upkeep/repair", { sha512: [entry.sha512] })
    const failed = report.failures[0]
    app.toasts.say(failed ? `Not repaired: ${failed.why}` : "Repaired.")
    app.reload()
  }
  const purge = async () => {
    const isNeeded = entry.state === "damaged" && entry.size !== null
    const body = [
      h("p", null, "The damaged bytes go for good, and what is known of how they were damaged."),
      isNeeded && h("p", { class: "effect" }, "They are the only copy here: a part of them may still be worth something. Storing the right bytes again heals without this."),
    ]
    const act = () => app.api.send("DELETE", path, undefined, isNeeded ? { force: 1 } : {})
    if (!(await ask({ title: "Purge these bytes?", body, confirm: "Purge", danger: true, act }))) return
    app.toasts.say("They are purged.")
    app.go("#/watch/quarantine")
  }
  const known = Object.entries(entry.facts).map(([key, value]) => [key.replaceAll("_", " "), typeof value === "object" ? JSON.stringify(value) : String(value)])
  return {
    title: "Quarantine",
    crumbs: [{ label: "Watch", href: "#/watch" }, { label: "Quarantine", href: "#/watch/quarantine" }, { label: entry.sha512.slice(0, SHORT) }],
    body: [
      h("div", { class: "title" }, h("h1", null, "Damaged bytes", state(entry)), h("div", { class: "actions" }, button("Repair", { kind: "primary", onclick: told(app, repair) }), button("Purge", { icon: "trash", onclick: purge }))),
      h(
        "div",
        { class: "columns" },
        h("div", null, entry.blobs.length ? blobs("Blobs of these bytes", entry.blobs) : empty("No blob has these bytes any more", h("p", null, "They can be purged."))),
        h(
          "div",
          null,
          panel("What is known", null, facts([["Why", entry.why], ["Since", time(entry.quarantined_at)], ["Size", entry.size === null ? "none of it is left" : sizeText(entry.size)], ...known])),
          panel("SHA-512", null, copyable("SHA-512", entry.sha512), h("p", { class: "hint" }, "Do you have a good copy? Drop it on this page: it is uploaded, and heals every blob of these bytes.")),
        ),
      ),
    ],
  }
}

function nothing() {
  return empty(
    "No payload is damaged",
    h("p", null, "Bytes that no longer match their checksum are put away here, so that nobody is given them. ", h("a", { href: "#/watch/upkeep" }, "A scrub"), " looks for them."),
  )
}
