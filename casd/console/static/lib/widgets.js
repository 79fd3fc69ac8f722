/** Small parts that every page is made of. */

import { fill, h } from "./dom.js"
import { icon } from "./icons.js"
import { explain } from "./problems.js"

let lastId = 0

/** An id that no other element of this page has, for labels. @param {string} word */
export function uniqueId(word) {
  lastId += 1
  return `${word}-${lastId}`
}

/**
 * @param {string} label
 * @param {{ icon?: any, kind?: "primary" | "danger" | "quiet", onclick?: (event: Event) => void, type?: string, disabled?: boolean, title?: string, hidesLabel?: boolean }} [options]
 * @returns {HTMLButtonElement}
 */
export function button(label, options = {}) {
  const { icon: drawn, kind, hidesLabel, ...attributes } = options
  const text = h("span", { class: hidesLabel ? "hidden-label" : null }, label)
  const classes = ["button", kind, hidesLabel && "round"].filter(Boolean).join(" ")
  return h("button", { type: "button", class: classes, title: hidesLabel ? label : null, ...attributes }, drawn && icon(drawn), text)
}

/**
 * A label above its control.
 * @param {string} label @param {HTMLElement} control @param {string} [hint]
 */
export function field(label, control, hint) {
  const id = uniqueId("field")
  control.id = id
  const told = hint && h("small", { class: "hint", id: `${id}-hint` }, hint)
  if (told) control.setAttribute("aria-describedby", `${id}-hint`)
  return h("div", { class: "field" }, h("label", { for: id }, label), control, told)
}

/** A badge. @param {string} text @param {string} [kind] */
export function badge(text, kind = "") {
  return h("span", { class: `badge ${kind}` }, text)
}

/** Where nothing is yet: what belongs here, and how it comes here. @param {string} title @param {...any} children */
export function empty(title, ...children) {
  return h("div", { class: "empty" }, h("h2", null, title), ...children)
}

/**
 * What went wrong, with the way out.
 * @param {unknown} error @param {() => void} [again]
 */
export function failure(error, again) {
  const { title, wayOut, detail, requestId } = explain(error)
  return h(
    "div",
    { class: "failure", role: "alert" },
    icon("warning"),
    h(
      "div",
      null,
      h("h2", null, title),
      h("p", null, wayOut),
      detail && h("p", { class: "detail" }, "The daemon says: ", detail),
      requestId && h("p", { class: "detail" }, "Request ", h("code", null, requestId)),
      again && h("p", null, button("Try again", { onclick: again })),
    ),
  )
}

/** A text in monospace with a button that copies it. @param {string} label @param {string} text @param {string} [href] */
export function copyable(label, text, href) {
  const copy = button(`Copy ${label}`, { icon: "copy", kind: "quiet", hidesLabel: true })
  copy.addEventListener("click", async () => {
    await copied(text)
    fill(copy, icon("check"), h("span", { class: "hidden-label", role: "status" }, "Copied"))
    setTimeout(() => fill(copy, icon("copy"), h("span", { class: "hidden-label" }, `Copy ${label}`)), 1600)
  })
  return h("div", { class: "copyable" }, href ? h("a", { href }, h("code", null, text)) : h("code", null, text), copy)
}

/** Also where the page came over plain HTTP, which has no clipboard API. @param {string} text */
async function copied(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text)
  const area = h("textarea", { class: "hidden-label", "aria-hidden": "true" }, text)
  document.body.append(area)
  area.select()
  document.execCommand("copy")
  area.remove()
}

/** Facts: terms and what they are. @param {[string, any][]} pairs */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== false)
  return h("dl", { class: "facts" }, shown.map(([term, value]) => h("div", null, h("dt", null, term), h("dd", null, value))))
}

/** A panel with a heading. @param {any} title @param {any} actions @param {...any} children @returns {HTMLElement} */
export function panel(title, actions, ...children) {
  return h("section", { class: "panel" }, h("header", null, h("h2", null, title), actions && h("div", { class: "actions" }, actions)), ...children)
}

/**
 * A table that becomes cards on a phone: each cell carries its column's word.
 * @param {string} caption @param {string[]} columns @param {any[][]} rows
 */
export function table(caption, columns, rows) {
  const head = h("tr", null, columns.map((column) => h("th", { scope: "col" }, column)))
  const body = rows.map((cells) => h("tr", null, cells.map((cell, at) => h("td", { "data-column": columns[at] }, isNothing(cell) ? null : h("div", null, cell)))))
  return h("table", null, h("caption", { class: "hidden-label" }, caption), h("thead", null, head), h("tbody", null, body))
}

/** @param {any} cell */
const isNothing = (cell) => cell === "" || cell === null || cell === undefined || cell === false

/** A bar that fills. @param {string} label */
export function progressBar(label) {
  const inner = h("div", null)
  const bar = h("div", { class: "progress", role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 }, inner)
  return {
    element: bar,
    /** @param {number} part of 1 */
    set(part) {
      const percent = Math.min(100, Math.floor(part * 100))
      inner.style.width = `${Math.min(100, part * 100)}%`
      bar.setAttribute("aria-valuenow", String(percent))
    },
  }
}
