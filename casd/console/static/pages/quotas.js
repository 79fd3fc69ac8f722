/** Namespaces for admins: how much each may hold and holds, who reads in it, and its rules. */

import { h } from "../lib/dom.js"
import { ask } from "../lib/dialog.js"
import { counted, sizeText } from "../lib/format.js"
import { link } from "../lib/router.js"
import { ACCESS, tabs } from "../watch/tabs.js"
import { badge, button, field, progressBar, table } from "../lib/widgets.js"

const SHOWN = 1000
const NEAR = 0.9 // of a quota
const UNITS = /** @type {[string, number][]} */ ([["MiB", 2 ** 20], ["GiB", 2 ** 30], ["TiB", 2 ** 40]])
const DAY_S = 86400

/** @typedef {import("../lib/shell.js").App} App */

/** @param {App} app @param {any} _ @param {AbortSignal} signal */
export async function render(app, _, signal) {
  const { items, next } = await app.api.get("/v1/namespaces", { limit: SHOWN }, signal)
  const rows = items.map((/** @type {any} */ namespace) => cells(app, namespace))
  return {
    title: "Namespaces",
    body: [
      h("div", { class: "title" }, h("h1", null, "Access"), button("New namespace", { icon: "plus", kind: "primary", onclick: () => create(app) })),
      tabs("Access", ACCESS, "#/access/namespaces"),
      h("section", { class: "panel" }, table("Namespaces", ["Name", "Holds", "Quota", "Readers", "Rules", ""], rows)),
      next && h("p", { class: "hint" }, `The first ${SHOWN} are shown. All of them: `, h("code", null, "casd namespace list")),
    ],
  }
}

/** @param {App} app @param {any} one */
function cells(app, one) {
  const isOpen = one.anonymous_read
  return [
    [h("a", { href: link.folder(one.name) }, one.name), " ", isOpen && badge("open to read", "warn")],
    `${sizeText(one.used_bytes ?? 0)}, ${counted(one.used_blobs ?? 0, "blob")}`,
    quota(one),
    one.readers.includes("*") ? "any token" : one.readers.join(", "),
    [one.keep_versions !== null && `keeps ${counted(one.keep_versions, "version")}`, one.keep_versions !== null && one.max_age_s !== null && ", ", one.max_age_s !== null && `for ${counted(Math.round(one.max_age_s / DAY_S), "day")}`],
    button("Change", { kind: "quiet", onclick: () => change(app, one) }),
  ]
}

/** @param {any} one */
function quota({ name, quota_bytes: bytes, quota_blobs: blobs, used_bytes: used, used_blobs: count }) {
  if (bytes === null && blobs === null) return h("span", { class: "muted" }, "none")
  const part = Math.max(bytes ? used / bytes : 0, blobs ? count / blobs : 0, bytes === 0 || blobs === 0 ? 1 : 0)
  const bar = progressBar(`Quota of ${name}: how much is used`)
  bar.set(part)
  const limits = [bytes !== null && sizeText(bytes), blobs !== null && counted(blobs, "blob")].filter(Boolean).join(", ")
  return h("div", { class: `quota ${part >= NEAR ? "near" : ""}` }, bar.element, h("span", { class: "hint" }, part > 1 ? `over its quota of ${limits}` : `${Math.floor(part * 100)} % of ${limits}`))
}

/** @param {App} app */
async function create(app) {
  const name = h("input", { required: true, maxlength: 128, pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*", autocomplete: "off", spellcheck: "false" })
  const body = field("Name", name, "Letters, digits, dot, dash and underscore.")
  const act = () => app.api.send("PUT", `/v1/namespaces/${encodeURIComponent(name.value)}`, {})
  if (await ask({ title: "New namespace", body, confirm: "Make it", act })) app.reload()
}

/** @param {App} app @param {any} one */
async function change(app, one) {
  const unit = UNITS.findLast(([, bytes]) => one.quota_bytes !== null && one.quota_bytes >= bytes && one.quota_bytes % bytes === 0) ?? UNITS[1]
  const number = (/** @type {number | null} */ value, least = 0) => h("input", { type: "number", min: least, step: "any", value: value === null ? "" : String(value) })
  const bytes = number(one.quota_bytes === null ? null : one.quota_bytes / unit[1])
  const units = h("select", { "aria-label": "Unit" }, UNITS.map(([label]) => h("option", { value: label, selected: label === unit[0] }, label)))
  const blobs = number(one.quota_blobs)
  const versions = number(one.keep_versions, 1)
  const days = number(one.max_age_s === null ? null : one.max_age_s / DAY_S)
  const readers = h("input", { value: one.readers.join(", "), placeholder: "none", autocomplete: "off", spellcheck: "false" })
  const open = h("input", { type: "checkbox", checked: one.anonymous_read })
  const factor = () => UNITS.find(([label]) => label === units.value)?.[1] ?? 1
  const whole = (/** @type {any} */ input, scale = 1) => (input.value === "" ? null : Math.round(Number(input.value) * scale))
  const body = [
    h("div", { class: "pair" }, field("Quota, bytes", bytes, "Empty: no limit."), field("Unit", units)),
    field("Quota, blobs", blobs, "Empty: no limit."),
    field("Versions that a name keeps", versions, "Empty: all."),
    field("Days that a version is kept", days, "Empty: for ever. The newest always stays."),
    field("Readers", readers, "Namespaces whose tokens may read here too, with commas between; * is any token."),
    h("label", { class: "tick" }, open, "Anybody who knows an address may read, without a token"),
  ]
  const act = () =>
    app.api.send("PUT", `/v1/namespaces/${encodeURIComponent(one.name)}`, {
      quota_bytes: whole(bytes, factor()),
      quota_blobs: whole(blobs),
      keep_versions: whole(versions),
      max_age_s: whole(days, DAY_S),
      readers: readers.value.split(",").map((/** @type {string} */ reader) => reader.trim()).filter(Boolean),
      anonymous_read: open.checked,
    })
  if (!(await ask({ title: `Rules of ${one.name}`, body, confirm: "Save", act }))) return
  app.toasts.say(`The rules of ${one.name} are changed.`)
  app.reload()
}
