/** A download is the browser's own: it gets a signed URL that soon ends, and never the token. */

import { h } from "./dom.js"

const STARTS_WITHIN_S = 120

/** @param {import("./shell.js").App} app @param {string} path of `/v1/…/data` or a name, with its query */
export async function download(app, path) {
  const href = await app.api.signed(path, STARTS_WITHIN_S)
  const anchor = h("a", { href, download: "" })
  document.body.append(anchor)
  anchor.click()
  anchor.remove()
}
