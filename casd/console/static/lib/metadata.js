/** A blob's metadata: any JSON value by key. Plain text is typed as it is, other JSON as JSON. */

import { blobPath } from "./api.js"
import { ask } from "./dialog.js"
import { fill, h } from "./dom.js"
import { told } from "./toast.js"
import { button, field, panel } from "./widgets.js"

/** @typedef {import("./shell.js").App} App */

/** @param {App} app @param {any} blob */
export function metadataPanel(app, blob) {
  const place = h("div", null)
  const show = (/** @type {Record<string, unknown>} */ known) => fill(place, entries(app, blob.uuid, known, refresh))
  const refresh = async () => show(await app.api.get(blobPath(blob.uuid, "metadata")))
  const add = app.mayWrite() && button("Add", { icon: "plus", kind: "quiet", onclick: () => edit(app, blob.uuid, "", "", refresh) })
  show(blob.metadata)
  return panel("Metadata", add, place)
}

/** @param {App} app @param {string} uuid @param {Record<string, unknown>} known @param {() => Promise<void>} refresh */
function entries(app, uuid, known, refresh) {
  const keys = Object.keys(known).sort()
  if (!keys.length) return h("p", { class: "hint" }, "Nothing is said about it yet. Keys hold any JSON value, and listings can be narrowed by them.")
  return h("dl", { class: "facts metadata" }, keys.map((key) => entry(app, uuid, key, known[key], refresh)))
}

/** @param {App} app @param {string} uuid @param {string} key @param {unknown} value @param {() => Promise<void>} refresh */
function entry(app, uuid, key, value, refresh) {
  const remove = async () => {
    await app.api.send("DELETE", blobPath(uuid, "metadata", key))
    app.toasts.say(`${key} is removed.`, { label: "Undo", onclick: told(app, async () => (await put(app, uuid, key, value), refresh())) })
    await refresh()
  }
  const tools = app.mayDelete() && [
    button(`Edit ${key}`, { icon: "pencil", kind: "quiet", hidesLabel: true, onclick: () => edit(app, uuid, key, typed(value), refresh) }),
    button(`Remove ${key}`, { icon: "close", kind: "quiet", hidesLabel: true, onclick: told(app, remove) }),
  ]
  return h("div", null, h("dt", null, key), h("dd", null, h("span", { class: typeof value === "string" ? null : "json" }, typed(value)), tools))
}

/** @param {App} app @param {string} uuid @param {string} key @param {unknown} value */
const put = (app, uuid, key, value) => app.api.send("PUT", blobPath(uuid, "metadata", key), { value })

/** @param {App} app @param {string} uuid @param {string} key @param {string} text @param {() => Promise<void>} refresh */
async function edit(app, uuid, key, text, refresh) {
  const name = h("input", { value: key, required: true, disabled: Boolean(key), autocomplete: "off", spellcheck: "false" })
  const value = h("textarea", { rows: 4, spellcheck: "false", value: text })
  const body = h("div", null, field("Key", name), field("Value", value, 'Text as it is; numbers, true, lists and objects as JSON; "7" in quotes is the text 7.'))
  const done = await ask({
    title: key ? `Change ${key}` : "Say something about it",
    body,
    confirm: "Save",
    act: () => put(app, uuid, name.value.trim(), read(value.value)),
  })
  if (done) await refresh().catch((error) => app.toasts.fail(error))
}

/** A value as it is typed: strings bare, unless they would be read as something else. @param {unknown} value */
function typed(value) {
  if (typeof value === "string" && read(value) === value) return value
  return JSON.stringify(value, null, typeof value === "object" ? 2 : 0)
}

/** @param {string} text @returns {unknown} */
function read(text) {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
