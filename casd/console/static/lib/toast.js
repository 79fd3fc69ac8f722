/** Short words on what has just happened; each goes by itself, but not while somebody points at it. */

import { h } from "./dom.js"
import { button, failure } from "./widgets.js"

const LASTS_MS = 7000

export class Toasts {
  constructor() {
    this.element = h("div", { class: "toasts", role: "status", "aria-live": "polite" })
  }

  /** The words before it go: what they offered may not be true any more. @param {string} text @param {{ label: string, onclick: () => void }} [action] */
  say(text, action) {
    for (const older of this.element.querySelectorAll(".toast:not(.bad)")) older.remove()
    const toast = h("div", { class: "toast" }, h("span", null, text))
    const end = () => toast.remove()
    if (action) toast.append(button(action.label, { kind: "quiet", onclick: () => (end(), action.onclick()) }))
    toast.append(button("Dismiss", { icon: "close", kind: "quiet", hidesLabel: true, onclick: end }))
    const wait = () => setTimeout(() => (toast.matches(":hover, :focus-within") ? wait() : end()), LASTS_MS)
    this.element.append(toast)
    wait()
  }

  /** What failed, which stays until it is dismissed. @param {unknown} error */
  fail(error) {
    const toast = h("div", { class: "toast bad" }, failure(error))
    toast.append(button("Dismiss", { icon: "close", kind: "quiet", hidesLabel: true, onclick: () => toast.remove() }))
    this.element.append(toast)
  }
}

/** A listener that acts, and tells what fails. @param {import("./shell.js").App} app @param {() => Promise<unknown>} act */
export function told(app, act) {
  return () => {
    act().catch((error) => app.toasts.fail(error))
  }
}
