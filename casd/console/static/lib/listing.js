/**
 * A listing that may have a hundred thousand rows: a page is fetched when its place comes near the window, and rows that
 * are far from it cost no layout (`content-visibility` in console.css).
 */

import { fill, h } from "./dom.js"
import { button, failure } from "./widgets.js"

const PAGE = 100
const NEAR = "600px"

/**
 * @param {object} what
 * @param {string} what.label
 * @param {(cursor: string | null, limit: number) => Promise<{ rows: any[], next: string | null }>} what.fetch
 * @param {() => any} what.empty what stands there when there is no row at all
 * @param {AbortSignal} what.signal ends it
 * @returns {Promise<HTMLElement>} with its first page
 */
export async function listing({ label, fetch, empty, signal }) {
  const list = h("div", { class: "listing", role: "list", "aria-label": label })
  const foot = h("div", { class: "listing-foot" })
  const whole = h("div", null, list, foot)
  /** @type {string | null} */
  let cursor = null

  const more = async () => {
    const page = await fetch(cursor, PAGE)
    cursor = page.next
    if (page.rows.length) list.append(h("div", { class: "chunk", role: "presentation" }, page.rows))
    if (!list.children.length && !cursor) whole.replaceChildren(empty())
    fill(foot, cursor && button("Show more", { onclick: next }))
  }
  const next = async () => {
    watcher.unobserve(foot)
    fill(foot, h("span", { class: "loading" }, "Loading …"))
    try {
      await more()
    } catch (error) {
      if (!signal.aborted) fill(foot, failure(error, next))
      return
    }
    if (cursor) watcher.observe(foot) // anew, so that it is told again where the foot is still in sight
  }
  const watcher = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && next(), { rootMargin: NEAR })
  signal.addEventListener("abort", () => watcher.disconnect())

  await more()
  if (cursor) watcher.observe(foot)
  return whole
}

/**
 * One row: a link over all of it, and facts beside.
 * @param {{ href: string, icon: any, label: any, details?: any[] }} row
 */
export function row({ href, icon, label, details = [] }) {
  const cells = details.map((detail) => h("span", { class: "cell" }, detail))
  return h("div", { class: "row", role: "listitem" }, icon, h("a", { href, "data-row": true }, label), ...cells)
}

/** Up and down go through the rows, wherever the focus was. @param {KeyboardEvent} event */
export function moveInRows(event) {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return
  const at = /** @type {HTMLElement} */ (event.target)
  if (at.matches("textarea, select, video, audio") || (at.matches("input") && !at.matches("[type=search]"))) return
  const rows = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-row]")])
  if (!rows.length) return
  const index = rows.indexOf(at)
  const next = index < 0 ? (event.key === "ArrowDown" ? 0 : -1) : index + (event.key === "ArrowDown" ? 1 : -1)
  if (!rows[next]) return
  event.preventDefault()
  rows[next].focus()
}
