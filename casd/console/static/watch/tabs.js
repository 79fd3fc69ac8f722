/** Pages that belong together, beside each other below their heading. */

import { h } from "../lib/dom.js"

export const WATCH = [
  { label: "Overview", href: "#/watch" },
  { label: "Upkeep", href: "#/watch/upkeep" },
  { label: "Uploads", href: "#/watch/uploads" },
  { label: "Quarantine", href: "#/watch/quarantine" },
  { label: "Audit", href: "#/watch/audit" },
]
export const ACCESS = [
  { label: "Tokens", href: "#/access" },
  { label: "Namespaces", href: "#/access/namespaces" },
]

/** @param {string} label @param {{ label: string, href: string }[]} all @param {string} here */
export function tabs(label, all, here) {
  const links = all.map((tab) => h("a", { href: tab.href, "aria-current": tab.href === here ? "page" : null }, tab.label))
  return h("nav", { class: "tabs", "aria-label": label }, links)
}
