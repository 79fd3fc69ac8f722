/** One upload by tus: it can be paused, and goes on where it was after whatever happens to the connection. */

import "../vendor/tus-js-client/tus.min.js"
import { here } from "../lib/api.js"
import { Problem, Unreachable } from "../lib/problems.js"

const RETRIES_MS = [0, 500, 1000, 2000, 4000]
const AGAIN_MS = 5000 // behind the last retry, and whenever the browser says that it is online

/**
 * @typedef {object} Events
 * @property {(sent: number) => void} onProgress
 * @property {(blob: string) => void} onStored
 * @property {() => void} onWaiting the connection is lost
 * @property {(error: Error) => void} onRefused the daemon does not take it
 */

export class Sending {
  #upload
  #timer = 0
  #paused = true

  /**
   * @param {import("../lib/api.js").Api} api
   * @param {File} file
   * @param {{ sha512: string, filename: string, namespace: string, name: string, url?: string | null }} what `url` of an upload to go on with
   * @param {Events} events
   */
  constructor(api, file, { sha512, filename, namespace, name, url }, events) {
    const metadata = { filename, namespace, name, sha512, ...(file.type && { filetype: file.type }) }
    const tus = /** @type {any} */ (globalThis).tus
    this.#upload = new tus.Upload(file, {
      endpoint: here("/v1/uploads"),
      uploadUrl: url ? here(url) : null,
      headers: api.headers,
      metadata,
      retryDelays: RETRIES_MS,
      storeFingerprintForResuming: false,
      fingerprint: () => Promise.resolve(sha512),
      onProgress: events.onProgress,
      onSuccess: (/** @type {any} */ { lastResponse }) => {
        this.#end()
        events.onStored(lastResponse.getHeader("Casd-Blob"))
      },
      onShouldRetry: (/** @type {any} */ error) => {
        const goesOn = !isFinal(refusal(error))
        if (goesOn && !this.#paused) events.onWaiting()
        return goesOn
      },
      onError: (/** @type {any} */ error) => {
        if (this.#paused) return
        const problem = refusal(error)
        if (problem?.status === 401) api.onRefused()
        if (problem && isFinal(problem)) return events.onRefused(problem)
        this.#timer = window.setTimeout(this.#again, AGAIN_MS)
      },
    })
  }

  #again = () => {
    clearTimeout(this.#timer)
    if (!this.#paused) this.#upload.start()
  }

  start() {
    this.#paused = false
    addEventListener("online", this.#again)
    this.#upload.start()
  }

  pause() {
    this.#end()
    this.#upload.abort().catch(() => undefined)
  }

  /** Ends it here and at the daemon. */
  async drop() {
    this.#end()
    await this.#upload.abort(true).catch(() => undefined)
  }

  #end() {
    this.#paused = true
    clearTimeout(this.#timer)
    removeEventListener("online", this.#again)
  }
}

/** What the daemon answered, if it did. @param {any} error */
function refusal(error) {
  const response = error.originalResponse
  if (!response?.getStatus()) return null
  try {
    return new Problem(response.getStatus(), JSON.parse(response.getBody()))
  } catch {
    return new Problem(response.getStatus(), {})
  }
}

/** Whether it would be refused again: not where somebody else sends it, or the daemon is busy. @param {Problem | null} problem */
function isFinal(problem) {
  return problem !== null && problem.status < 500 && ![409, 423, 429].includes(problem.status)
}

/** Unfinished uploads of the same bytes, the furthest first. @param {import("../lib/api.js").Api} api @param {string} sha512 @param {number} size @param {string[]} namespaces @returns {Promise<any[]>} */
export async function unfinished(api, sha512, size, namespaces) {
  const pages = await Promise.all(namespaces.map((namespace) => api.get("/v1/uploads", { sha512, size, namespace }).catch(unlessUnreachable)))
  return pages.flatMap((page) => page.items).filter(({ offset }) => offset > 0).sort((a, b) => b.offset - a.offset)
}

/** @param {Error} error */
function unlessUnreachable(error) {
  if (error instanceof Unreachable) throw error
  return { items: [] }
}
