/** Hashes files one after another: two at a time would only share the disk and the processor. */

import { trusted } from "../lib/trusted.js"

const WORKER = trusted(new URL("./hash-worker.js", import.meta.url).href)

export class Hasher {
  /** @type {Promise<unknown>} */
  #last = Promise.resolve()

  /**
   * The file's SHA-512 in hex. Throws what the file system says, and AbortError.
   * @param {File} file @param {(done: number) => void} onProgress @param {AbortSignal} signal @returns {Promise<string>}
   */
  digest(file, onProgress, signal) {
    const mine = this.#last.then(() => this.#run(file, onProgress, signal))
    this.#last = mine.catch(() => undefined)
    return mine
  }

  /** @param {File} file @param {(done: number) => void} onProgress @param {AbortSignal} signal @returns {Promise<string>} */
  #run(file, onProgress, signal) {
    signal.throwIfAborted()
    const worker = new Worker(WORKER, { type: "module" })
    const result = new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true })
      worker.addEventListener("error", () => reject(new Error("the hashing of the file stopped")))
      worker.addEventListener("message", ({ data }) => {
        if (data.done !== undefined) onProgress(data.done)
        else if (data.error) reject(new Error(`the file cannot be read (${data.error}); a folder is dropped file by file`))
        else resolve(data.sha512)
      })
    })
    worker.postMessage(file)
    return result.finally(() => worker.terminate())
  }
}
