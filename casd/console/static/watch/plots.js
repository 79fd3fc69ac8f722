/** Plots over time, by uPlot, which is loaded when the first one is drawn. Colours are the page's, dark or light. */

import { h } from "../lib/dom.js"
import { sizeText } from "../lib/format.js"
import { trusted } from "../lib/trusted.js"

const HEIGHT = 190
const FEW = 20 // points: a line through fewer is hard to see
const POWERS = Array.from({ length: 60 }, (_, power) => 2 ** power) // steps of an axis of bytes
const STEPS_S = [60, 120, 300, 600, 1800, 3600, 7200, 10800, 21600] // of the axis of time
const PALETTE = 6 // --series-1 to --series-6 in watch.css

/** @type {Promise<any> | undefined} */
let library

function uPlot() {
  library ??= new Promise((resolve, reject) => {
    const script = document.createElement("script")
    script.src = trusted(new URL("../vendor/uplot/uPlot.iife.min.js", import.meta.url).href)
    script.addEventListener("load", () => resolve(/** @type {any} */ (globalThis).uPlot))
    script.addEventListener("error", () => {
      library = undefined
      reject(new Error("the plots could not be loaded"))
    })
    document.head.append(script)
  })
  return library
}

/** @param {string} name */
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

/**
 * @typedef {{ label: string, values: (number | null)[] }} Line
 * @typedef {{ title: string, about: string, format: (value: number) => string, lines: Line[] }} Picture
 */

/**
 * A figure that is drawn once it stands in the page, and again when its size or the page's colours change.
 * @param {Picture} picture @param {string[]} times RFC 3339 @param {AbortSignal} signal
 */
export function plot(picture, times, signal) {
  const canvas = h("div", { class: "plot", role: "img" })
  const figure = h("figure", { class: "panel" }, h("figcaption", null, h("h2", null, picture.title), h("p", { class: "hint" }, picture.about)), canvas)
  let shown = { picture, times }
  /** @type {any} */
  let drawn = null

  const draw = async () => {
    const Plot = await uPlot()
    if (signal.aborted || !canvas.clientWidth) return
    drawn?.destroy()
    drawn = new Plot(options(shown.picture, canvas.clientWidth), data(shown), canvas)
    latest(drawn)
    canvas.setAttribute("aria-label", inWords(shown.picture))
  }
  const fits = new ResizeObserver(() => (drawn ? drawn.setSize({ width: canvas.clientWidth, height: HEIGHT }) : draw()))
  fits.observe(canvas)
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw, { signal })
  signal.addEventListener("abort", () => {
    fits.disconnect()
    drawn?.destroy()
  })
  return {
    element: figure,
    /** @param {Picture} newer @param {string[]} newerTimes */
    update(newer, newerTimes) {
      const isSame = newer.lines.length === shown.picture.lines.length
      shown = { picture: newer, times: newerTimes }
      if (!drawn || !isSame) return draw()
      drawn.setData(data(shown))
      latest(drawn)
      canvas.setAttribute("aria-label", inWords(newer))
    },
  }
}

/** @param {{ picture: Picture, times: string[] }} shown */
function data({ picture, times }) {
  return [times.map((at) => Date.parse(at) / 1000), ...picture.lines.map((line) => line.values)]
}

/** The legend tells the newest values while nobody points at others. @param {any} drawn */
function latest(drawn) {
  if (drawn.cursor.idx == null || drawn.cursor.left < 0) drawn.setLegend({ idx: drawn.data[0].length - 1 })
}

/** @param {Picture} picture @param {number} width */
function options({ lines, format }, width) {
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: `12px ${colour("--sans")}` }
  const value = (/** @type {any} */ _, /** @type {number | null} */ at) => (at == null ? "–" : format(at))
  return {
    width,
    height: HEIGHT,
    padding: [8, 20, 0, 0],
    cursor: { sync: { key: "watch" }, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { y: { range: (/** @type {any} */ _, /** @type {number} */ __, /** @type {number} */ top) => [0, top > 0 ? top * 1.1 : 1] } },
    axes: [{ ...axis, incrs: STEPS_S, values: (/** @type {any} */ _, /** @type {number[]} */ at) => at.map(clock) }, { ...axis, size: 72, incrs: format === sizeText ? POWERS : undefined, values: (/** @type {any} */ _, /** @type {number[]} */ at) => at.map(format) }],
    series: [{ value: (/** @type {any} */ _, /** @type {number | null} */ at) => (at == null ? "–" : clock(at)) }, ...lines.map((line, at) => ({
      label: line.label,
      stroke: colour(`--series-${(at % PALETTE) + 1}`),
      width: 1.75,
      points: { show: line.values.length < FEW, size: 5 },
      value,
    }))],
    hooks: { setCursor: [latest] },
  }
}

/** @param {number} seconds */
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })

/** @param {Picture} picture */
function inWords({ title, lines, format }) {
  const now = lines.map(({ label, values }) => `${label} ${values.length && values.at(-1) != null ? format(/** @type {number} */ (values.at(-1))) : "not known"}`)
  return `${title}, now: ${now.join(", ")}`
}
