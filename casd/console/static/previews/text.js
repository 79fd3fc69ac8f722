/** Text, JSON, tables and bare bytes, from the first 64 KiB. All of it is shown as text and stays text. */

import { h } from "../lib/dom.js"
import { sizeText } from "../lib/format.js"
import { table } from "../lib/widgets.js"

const ROWS = 50
const HEX_BYTES = 256

/** @typedef {import("./preview.js").Source} Source */

/** @param {Uint8Array} head */
const decoded = (head) => new TextDecoder("utf-8").decode(head, { stream: true }) // a character cut in two is left out

/** @param {Source} source @param {Uint8Array} head @param {string} [shown] */
function note({ blob }, head, shown = `The first ${sizeText(head.length)} of ${sizeText(blob.size)}.`) {
  return head.length < blob.size && h("p", { class: "hint" }, shown)
}

/** @param {Source} source */
export async function text(source) {
  const head = await source.head()
  if (head.includes(0)) return dump(source, head)
  return [pre("Text", decoded(head)), note(source, head)]
}

/** @param {Source} source */
export async function json(source) {
  const head = await source.head()
  if (head.length < source.blob.size) return [pre("JSON", decoded(head)), note(source, head)]
  try {
    return pre("JSON", JSON.stringify(JSON.parse(decoded(head)), null, 2))
  } catch {
    return [h("p", { class: "hint" }, "It says that it is JSON, but does not parse."), pre("Text", decoded(head))]
  }
}

/** @param {Source} source */
export async function csv(source) {
  const head = await source.head()
  const whole = head.length === source.blob.size
  const [first, ...rest] = parsed(decoded(head), ROWS + 2, whole)
  if (!first) return text(source)
  const shown = rest.slice(0, ROWS)
  const cells = shown.map((row) => first.map((_, at) => row[at] ?? ""))
  const more = rest.length > ROWS || !whole
  return [h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table" }, table("Head of the table", first, cells)), more && h("p", { class: "hint" }, `The first ${shown.length} rows.`)]
}

/** Rows of cells (RFC 4180), by whichever of , ; and tab the first line has most of.
 * @param {string} text @param {number} limit @param {boolean} isWhole whether the last line ends where it ends */
export function parsed(text, limit, isWhole) {
  const line = text.slice(0, text.search(/[\r\n]|$/))
  const separator = [",", ";", "\t"].sort((a, b) => line.split(b).length - line.split(a).length)[0]
  /** @type {string[][]} */
  const rows = []
  let row = [""]
  let quoted = false
  for (let at = 0; at < text.length && rows.length < limit; at += 1) {
    const char = text[at]
    if (quoted) {
      if (char !== '"') row[row.length - 1] += char
      else if (text[at + 1] === '"') (row[row.length - 1] += '"'), (at += 1)
      else quoted = false
    } else if (char === '"' && row[row.length - 1] === "") quoted = true
    else if (char === separator) row.push("")
    else if (char === "\n") rows.push(row), (row = [""])
    else if (char !== "\r") row[row.length - 1] += char
  }
  const left = row.length > 1 || row[0] !== ""
  return left && isWhole && rows.length < limit ? [...rows, row] : rows
}

/** @param {Source} source */
export async function bytes(source) {
  return dump(source, await source.head())
}

/** @param {Source} source @param {Uint8Array} head */
function dump(source, head) {
  const lines = []
  for (let at = 0; at < Math.min(head.length, HEX_BYTES); at += 16) {
    const part = [...head.slice(at, at + 16)]
    const hex = part.map((byte) => byte.toString(16).padStart(2, "0")).join(" ")
    const shown = part.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "·")).join("")
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex.padEnd(47)}  ${shown}`)
  }
  const shown = Math.min(head.length, HEX_BYTES)
  return [pre("Bytes", lines.join("\n")), h("p", { class: "hint" }, `The first ${sizeText(shown)}. There is no picture of the type ${source.blob.content_type}.`)]
}

/** @param {string} label @param {string} content */
function pre(label, content) {
  return h("pre", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, content)
}
