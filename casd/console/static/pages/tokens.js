/** Tokens: who may what, since when and until when; made, renewed and revoked here. A secret is shown once. */

import { h } from "../lib/dom.js"
import { ask } from "../lib/dialog.js"
import { time } from "../lib/format.js"
import { ACCESS, tabs } from "../watch/tabs.js"
import { badge, button, copyable, empty, field, panel, table } from "../lib/widgets.js"

const SHOWN = 1000
const SOON_MS = 14 * 86_400_000
const ROLES = [
  ["reader", "reader: may read"],
  ["append-only", "append-only: may add, and change or delete nothing"],
  ["writer", "writer: may read, store and delete"],
  ["admin", "admin: may do everything, everywhere"],
]
const LIVES = /** @type {[string, string][]} */ ([["", "for ever"], ["86400", "a day"], ["604800", "a week"], ["2592000", "30 days"], ["31536000", "a year"]])
const OVERLAPS = /** @type {[string, string][]} */ ([["0", "no longer: it ends now"], ["3600", "for an hour"], ["86400", "for a day"], ["604800", "for a week"]])

/** @typedef {import("../lib/shell.js").App} App */

/** @param {App} app @param {any} _ @param {AbortSignal} signal */
export async function render(app, _, signal) {
  const { items, next } = await app.api.get("/v1/tokens", { limit: SHOWN }, signal)
  const good = items.filter((/** @type {any} */ token) => isGood(token))
  const ended = items.filter((/** @type {any} */ token) => !isGood(token))
  const columns = ["Name", "Role", "Namespaces", "Last used", "Ends", ""]
  return {
    title: "Tokens",
    body: [
      h("div", { class: "title" }, h("h1", null, "Access"), button("New token", { icon: "plus", kind: "primary", onclick: () => create(app) })),
      tabs("Access", ACCESS, "#/access"),
      good.length ? panel("Valid", null, table("Valid tokens", columns, good.map((/** @type {any} */ token) => cells(app, token)))) : empty("No token is good", h("p", null, "You should not be able to see this.")),
      ended.length > 0 && panel("Ended", null, table("Ended tokens", columns, ended.map((/** @type {any} */ token) => cells(app, token)))),
      next && h("p", { class: "hint" }, `The first ${SHOWN} are shown. All of them: `, h("code", null, "casd token list")),
    ],
  }
}

/** @param {any} token */
const isGood = (token) => !token.revoked_at && (!token.expires_at || Date.parse(token.expires_at) > Date.now())

/** @param {App} app @param {any} token */
function cells(app, token) {
  const isMine = token.id === app.me.id
  const ends = token.revoked_at ? ["revoked ", time(token.revoked_at)] : token.expires_at ? [time(token.expires_at), Date.parse(token.expires_at) - Date.now() < SOON_MS && isGood(token) && badge("soon", "warn")] : h("span", { class: "muted" }, "never")
  return [
    [h("strong", null, token.name), " ", isMine && badge("you")],
    token.role,
    token.namespaces.join(", "),
    token.last_used_at ? time(token.last_used_at) : h("span", { class: "muted" }, "not yet"),
    ends,
    isGood(token) && [button("Renew", { kind: "quiet", onclick: () => rotate(app, token) }), button(`Revoke ${token.name}`, { icon: "trash", kind: "quiet", hidesLabel: true, onclick: () => revoke(app, token) })],
  ]
}

/** @param {string[][]} options @param {string} [chosen] */
function select(options, chosen) {
  return h("select", null, options.map(([value, label]) => h("option", { value, selected: value === chosen }, label)))
}

/** @param {App} app */
async function create(app) {
  const name = h("input", { required: true, maxlength: 255, placeholder: "node 7", autocomplete: "off" })
  const role = select(ROLES, "writer")
  const namespaces = h("input", { required: true, value: app.me.namespaces[0], autocomplete: "off", spellcheck: "false" })
  const life = select(LIVES, "")
  const body = [
    field("Name", name, "Who or what it is for; it stands in the log and in the audit."),
    field("Role", role),
    field("Namespaces", namespaces, "With commas between. The first is its home; one that is not there is made."),
    field("Valid", life),
  ]
  let made = /** @type {any} */ (null)
  const act = async () => {
    const wanted = namespaces.value.split(",").map((/** @type {string} */ one) => one.trim()).filter(Boolean)
    made = await app.api.send("POST", "/v1/tokens", { name: name.value, role: role.value, namespaces: wanted, ...(life.value && { expires_in: Number(life.value) }) })
  }
  if (await ask({ title: "New token", body, confirm: "Make it", act })) await show(app, made, `The token ${made.name}`)
}

/** @param {App} app @param {any} token */
async function rotate(app, token) {
  const overlap = select(OVERLAPS, "3600")
  const body = [h("p", null, "It gets a new secret, and stays what it is: name, role, namespaces, signed URLs, uploads under way."), field("The old secret works", overlap)]
  let made = /** @type {any} */ (null)
  const act = async () => {
    made = await app.api.send("POST", `/v1/tokens/${token.id}/rotate`, { overlap_s: Number(overlap.value) })
  }
  if (await ask({ title: `Renew the secret of ${token.name}?`, body, confirm: "Renew", act })) await show(app, made, `The new secret of ${token.name}`)
}

/** @param {App} app @param {any} token */
async function revoke(app, token) {
  const isMine = token.id === app.me.id
  const body = [h("p", null, "Whoever uses it is turned away from now on; transfers under way are cut off."), isMine && h("p", { class: "effect" }, "This is the token that you are signed in with: you will be signed out.")]
  const act = () => app.api.send("DELETE", `/v1/tokens/${token.id}`)
  if (!(await ask({ title: `Revoke ${token.name}?`, body, confirm: "Revoke", danger: true, act }))) return
  app.toasts.say(`${token.name} is revoked.`)
  app.reload()
}

/** The only time that a secret is seen. @param {App} app @param {any} made @param {string} title */
async function show(app, made, title) {
  const body = [h("p", null, "This is shown once: nobody keeps it, not even the daemon. Put it where it is needed now."), copyable("secret", made.token)]
  await ask({ title, body, confirm: "I have it", only: true, act: async () => undefined })
  app.reload()
}
