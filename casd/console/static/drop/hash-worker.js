/** SHA-512 of a file, off the page's thread, a few MiB in memory whatever its size: the next step is read ahead. */

import "../vendor/hash-wasm/sha512.umd.min.js"

const STEP_BYTES = 4 << 20

self.addEventListener("message", async ({ data: file }) => {
  try {
    self.postMessage({ sha512: await digest(file) })
  } catch (error) {
    self.postMessage({ error: String(error.message ?? error) })
  }
})

/** @param {File} file */
async function digest(file) {
  const hash = await self.hashwasm.createSHA512()
  hash.init()
  let ahead = step(file, 0)
  for (let at = 0; at < file.size; at += STEP_BYTES) {
    const bytes = await ahead
    ahead = step(file, at + STEP_BYTES)
    hash.update(new Uint8Array(bytes))
    self.postMessage({ done: at + bytes.byteLength })
  }
  return hash.digest("hex")
}

/** @param {File} file @param {number} at */
const step = (file, at) => file.slice(at, at + STEP_BYTES).arrayBuffer()
