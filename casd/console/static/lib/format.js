/** Sizes, times and counts as people read them; the exact value stands in the title. */

import { h, svg } from "./dom.js"

const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
const STEPS = /** @type {[Intl.RelativeTimeFormatUnit, number][]} */ ([
  ["year", 31557600],
  ["month", 2629800],
  ["day", 86400],
  ["hour", 3600],
  ["minute", 60],
])
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" })
const absolute = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" })
const numbers = new Intl.NumberFormat("en")

/** @param {number} bytes */
export function sizeText(bytes) {
  if (bytes < 1024) return bytes === 1 ? "1 byte" : `${bytes} bytes`
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10))
  const value = bytes / 1024 ** power
  return `${value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[power]}`
}

/** @param {number} bytes */
export function size(bytes) {
  return h("span", { class: "number", title: `${numbers.format(bytes)} bytes` }, sizeText(bytes))
}

/** @param {number} count @param {string} one @param {string} [many] */
export function counted(count, one, many = `${one}s`) {
  return `${numbers.format(count)} ${count === 1 ? one : many}`
}

/** @param {string} at RFC 3339 @param {number} [now] in ms */
export function agoText(at, now = Date.now()) {
  const seconds = (Date.parse(at) - now) / 1000
  const step = STEPS.find(([, length]) => Math.abs(seconds) >= length)
  if (!step) return seconds <= 0 ? "just now" : "in less than a minute"
  return relative.format(Math.round(seconds / step[1]), step[0])
}

/** @param {string} at RFC 3339 */
export function time(at) {
  return h("time", { datetime: at, title: absolute.format(new Date(at)) }, agoText(at))
}

/** @param {string} at RFC 3339 */
export function absoluteTime(at) {
  return absolute.format(new Date(at))
}

/** @param {number} seconds */
export function durationText(seconds) {
  if (!Number.isFinite(seconds)) return ""
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1)} h`
  return `${Math.round(seconds / 86400)} days`
}

/** A digest's own stripe: equal contents look alike at a glance. @param {string} hex */
export function stripe(hex) {
  const bars = Array.from({ length: 10 }, (_, at) => {
    const value = Number.parseInt(hex.slice(at * 2, at * 2 + 2), 16) || 0
    const fill = `hsl(${Math.round((value / 256) * 360)} 42% ${value % 2 ? 48 : 62}%)`
    return svg("rect", { x: at * 4, y: 0, width: 4, height: 10, fill })
  })
  return svg("svg", { class: "stripe", viewBox: "0 0 40 10", preserveAspectRatio: "none", "aria-hidden": "true" }, ...bars)
}
