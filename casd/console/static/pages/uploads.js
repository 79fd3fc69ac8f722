/** Uploads that are not finished: how far each is, who began it, and a way to end it. */

import { h } from "../lib/dom.js"
import { ask } from "../lib/dialog.js"
import { sizeText, time } from "../lib/format.js"
import { icon } from "../lib/icons.js"
import { listing } from "../lib/listing.js"
import { tabs, WATCH } from "../watch/tabs.js"
import { badge, button, empty, progressBar } from "../lib/widgets.js"

const TUS = { "Tus-Resumable": "1.0.0" }

/** @param {import("../lib/shell.js").App} app @param {any} _ @param {AbortSignal} signal */
export async function render(app, _, signal) {
  const fetch = async (/** @type {string | null} */ cursor, /** @type {number} */ limit) => {
    const page = await app.api.get("/v1/uploads", { cursor, limit }, signal)
    return { rows: page.items.map((/** @type {any} */ upload) => uploadRow(app, upload)), next: page.next }
  }
  const list = await listing({ label: "Open uploads", fetch, empty: nothing, signal })
  return {
    title: "Uploads",
    body: [h("div", { class: "title" }, h("h1", null, "Watch"), button("Look again", { onclick: app.reload })), tabs("Watch", WATCH, "#/watch/uploads"), list],
  }
}

/** @param {import("../lib/shell.js").App} app @param {any} upload */
function uploadRow(app, upload) {
  const title = upload.name ?? upload.filename ?? "(no name)"
  const bar = progressBar(`${title}: how much has arrived`)
  if (upload.size) bar.set(upload.offset / upload.size)
  const end = async () => {
    const body = h("p", null, `${sizeText(upload.offset)} that have arrived are dropped. Who sends it is told, and can begin again.`)
    const act = () => app.api.ask("DELETE", new URL(upload.url, location.origin).pathname, { headers: TUS })
    if (!(await ask({ title: `End the upload of ${title}?`, body, confirm: "End it", danger: true, act }))) return
    app.toasts.say(`The upload of ${title} is ended.`)
    app.reload()
  }
  return h(
    "div",
    { class: "row upload", role: "listitem" },
    icon("upload"),
    h(
      "div",
      { class: "grow" },
      h("strong", null, title),
      " ",
      upload.active && badge("sending now", "ok"),
      upload.is_partial && badge("a piece of another"),
      bar.element,
      h("span", { class: "hint" }, `${sizeText(upload.offset)} of ${upload.size === null ? "a size not told yet" : sizeText(upload.size)} to ${upload.namespace}, begun `, time(upload.created_at), upload.begun_by && ` by ${upload.begun_by}`, ", kept until ", time(upload.expires_at)),
    ),
    button(`End the upload of ${title}`, { icon: "trash", kind: "quiet", hidesLabel: true, onclick: end }),
  )
}

function nothing() {
  return empty(
    "No upload is under way",
    h("p", null, "An upload that was cut off stands here until it is continued or its time is over. Its client goes on by itself; so does the same file dropped on this page."),
  )
}
