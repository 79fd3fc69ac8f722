/**
 * Pictures, films and sound, through short-lived signed URLs: the browser asks for the ranges that it wants. An SVG
 * stands in an `<img>`, where no script of it runs and nothing is loaded by it.
 */

import { blobPath } from "../lib/api.js"
import { fill, h } from "../lib/dom.js"
import { text } from "./text.js"

const LIVES_S = 900

/** @typedef {import("./preview.js").Source} Source */

/** @param {Source} source */
const signed = ({ app, blob }) => app.api.signed(`${blobPath(blob.uuid, "data")}?inline=1`, LIVES_S)

/** @param {Source} source */
export async function image(source) {
  const { blob } = source
  const picture = h("img", { alt: blob.filename ?? "", src: await signed(source), class: "checkered" })
  const place = h("div", { class: "media" }, picture)
  picture.addEventListener("error", () => unplayable(place, "picture"))
  return blob.content_type.startsWith("image/svg") ? [place, h("details", null, h("summary", null, "Source"), await text(source))] : place
}

/** @param {Source} source */
export const video = (source) => player("video", source)

/** @param {Source} source */
export const audio = (source) => player("audio", source)

/** @param {"video" | "audio"} tag @param {Source} source */
async function player(tag, source) {
  const media = h(tag, { controls: true, preload: "metadata", playsinline: true, "aria-label": source.blob.filename ?? tag })
  const place = h("div", { class: "media" }, media)
  let signedAt = Date.now()
  media.addEventListener("error", async () => {
    if (Date.now() - signedAt < (LIVES_S * 1000) / 2) return unplayable(place, tag)
    signedAt = Date.now() // the URL has ended: go on with a new one, from where it stood
    const at = media.currentTime
    media.src = await signed(source)
    media.currentTime = at
    media.play()
  })
  source.signal.addEventListener("abort", () => media.removeAttribute("src"))
  media.src = await signed(source)
  return place
}

/** @param {HTMLElement} place @param {string} what */
function unplayable(place, what) {
  fill(place, h("p", { class: "hint" }, `Your browser cannot show this ${what}. It can be downloaded.`))
}
