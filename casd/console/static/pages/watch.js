/** How the store stands, and how the last day went. */

import { fill, h } from "../lib/dom.js"
import { every } from "../watch/every.js"
import { agoText, counted, durationText, sizeText, time } from "../lib/format.js"
import { icon } from "../lib/icons.js"
import { plot } from "../watch/plots.js"
import { tabs, WATCH } from "../watch/tabs.js"
import { failure } from "../lib/widgets.js"

const STATUS_S = 5
const SAMPLES_S = 60
const DAY_S = 86400
const LONG_UNCHECKED_S = 120 * DAY_S // a month more than the longest that a deep check takes to come round by default

/** @typedef {import("../watch/plots.js").Picture} Picture */

/** @param {import("../lib/shell.js").App} app @param {any} _ @param {AbortSignal} signal */
export async function render(app, _, signal) {
  const [first, samples] = await Promise.all([app.api.get("/v1/status", {}, signal), app.api.get("/v1/samples", {}, signal)])
  const lead = h("p", { class: "lead" })
  const trouble = h("div", null)
  const warnings = h("div", { role: "status" })
  const tiles = h("div", { class: "tiles" })
  const show = (/** @type {any} */ status) => {
    fill(lead, `casd ${status.version}, running for ${durationText(status.uptime_s)}`)
    fill(warnings, worries(status).map(({ href, text }) => h("p", { class: "note" }, icon("warning"), h("span", null, text), href && h("a", { href }, "Look"))))
    fill(tiles, tilesOf(status))
  }
  show(first)
  const plots = pictures(samples).map((picture) => plot(picture, samples.times, signal))
  const tell = (/** @type {unknown} */ error) => fill(trouble, error ? failure(error) : null)
  every(STATUS_S, signal, async () => show(await app.api.get("/v1/status", {}, signal)), tell)
  every(SAMPLES_S, signal, async () => {
    const newer = await app.api.get("/v1/samples", {}, signal)
    pictures(newer).forEach((picture, at) => plots[at].update(picture, newer.times))
  }, tell)
  return {
    title: "Watch",
    body: [
      h("div", { class: "title" }, h("h1", null, "Watch"), lead),
      tabs("Watch", WATCH, "#/watch"),
      trouble,
      warnings,
      tiles,
      h("div", { class: "plots" }, plots.map(({ element }) => element)),
    ],
  }
}

/** What an operator should look at. @param {any} status @returns {{ text: string, href?: string }[]} */
function worries(status) {
  const { disk, totals, scrub, upkeep, credentials } = status
  const found = []
  if (disk.free_bytes === 0) found.push({ text: "The disk is full down to its reserve: nothing can be stored. Delete what is not needed, then collect garbage.", href: "#/watch/upkeep" })
  if (totals.quarantined_payloads) found.push({ text: `${counted(totals.quarantined_payloads, "payload")} damaged. Storing the same bytes again heals; repair can fetch them from elsewhere.`, href: "#/watch/quarantine" })
  for (const [kind, run] of Object.entries(upkeep)) {
    if (run?.error) found.push({ text: `The last run of ${kind} failed: ${run.error}`, href: "#/watch/upkeep" })
  }
  if (ageS(scrub.oldest_deep_checked_at) > LONG_UNCHECKED_S) found.push({ text: `Some bytes were last read and compared ${agoText(scrub.oldest_deep_checked_at)}.`, href: "#/watch/upkeep" })
  const ending = credentials?.expiring ?? []
  if (ending.length) found.push({ text: `${counted(ending.length, "token")} will expire soon: ${ending.slice(0, 3).map((/** @type {any} */ one) => one.name).join(", ")}${ending.length > 3 ? " …" : ""}`, href: "#/access" })
  return found
}

/** @param {string | null} at */
const ageS = (at) => (at ? (Date.now() - Date.parse(at)) / 1000 : 0)

/** @param {any} status */
function tilesOf({ totals, disk, garbage, queues, uploads, scrub }) {
  const saved = totals.logical_bytes ? 1 - totals.physical_bytes / totals.logical_bytes : 0
  return [
    tile("Stored", sizeText(totals.logical_bytes), counted(totals.blobs, "blob")),
    tile("On disk", sizeText(totals.physical_bytes), saved > 0.005 ? `${Math.round(saved * 100)} % saved by storing equal bytes once` : counted(totals.payloads, "payload")),
    tile("Free", sizeText(disk.free_bytes), disk.reserved_bytes ? `${sizeText(disk.reserved_bytes)} promised to uploads` : "beyond the reserve", disk.free_bytes === 0 && "danger"),
    tile("Under way", counted(queues.transfers, "transfer"), `${counted(queues.connections, "connection")}, ${counted(uploads.open, "open upload")}`),
    tile("Garbage", sizeText(garbage.bytes), garbage.payloads ? "goes at the next collection" : "nothing to collect"),
    tile("Oldest check", scrub.oldest_checked_at ? time(scrub.oldest_checked_at) : "–", totals.quarantined_payloads ? `${totals.quarantined_payloads} in quarantine` : "no damage known", totals.quarantined_payloads && "danger"),
  ]
}

/** @param {string} term @param {any} value @param {string} more @param {string | false | 0} [kind] */
function tile(term, value, more, kind) {
  return h("div", { class: `tile ${kind || ""}` }, h("h2", null, term), h("p", { class: "value" }, value), h("p", { class: "hint" }, more))
}

/** The same ones in the same order whatever the samples hold. @param {any} samples @returns {Picture[]} */
function pictures({ series, interval_s: interval }) {
  const line = (/** @type {string} */ label, /** @type {string} */ key) => ({ label, values: series[key] ?? [] })
  const perSecond = (/** @type {string} */ kind) => byDialect(series, kind, (value) => Math.round(value / interval))
  return [
    { title: "Bytes stored", about: "Logical bytes count each blob, physical ones what the disk holds.", format: sizeText, lines: [line("logical", "logical_bytes"), line("physical", "physical_bytes")] },
    { title: "Disk", about: "What is free, and the reserve that uploads may not touch.", format: sizeText, lines: [line("free", "free_bytes"), line("reserve", "reserve_bytes")] },
    { title: "Requests", about: "A minute, by dialect.", format: countText, lines: byDialect(series, "requests", (value) => (value * 60) / interval) },
    { title: "Under way", about: "Transfers and connections at the same time.", format: countText, lines: [line("transfers", "transfers"), line("connections", "connections"), line("open uploads", "uploads_open")] },
    { title: "Received", about: "A second, by dialect.", format: sizeText, lines: perSecond("received_bytes") },
    { title: "Sent", about: "A second, by dialect.", format: sizeText, lines: perSecond("sent_bytes") },
    { title: "Commits", about: "How long a write waits until it is safe on the disk.", format: millisText, lines: [line("half of them", "commit_p50_s"), line("19 of 20", "commit_p95_s")] },
    { title: "Oldest check", about: "How long ago the payload that waits longest was compared with its checksums.", format: (value) => (value < 1 ? "0" : durationText(value)), lines: [line("age", "oldest_check_s")] },
  ]
}

/** A line for each dialect that was spoken; the first one where none was. @param {any} series @param {string} kind @param {(value: number) => number} rate */
function byDialect(series, kind, rate) {
  const all = Object.keys(series).filter((key) => key.startsWith(`${kind}.`))
  const used = all.filter((key) => series[key].some((/** @type {number | null} */ value) => value))
  return (used.length ? used : all.slice(0, 1)).map((key) => ({
    label: key.slice(kind.length + 1),
    values: series[key].map((/** @type {number | null} */ value) => (value === null ? null : rate(value))),
  }))
}

/** @param {number} value */
const countText = (value) => (value >= 100 || Number.isInteger(value) ? Math.round(value).toLocaleString("en") : value.toFixed(1))

/** @param {number} seconds */
const millisText = (seconds) => (seconds === 0 ? "0" : seconds >= 1 ? `${seconds.toFixed(1)} s` : `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`)
