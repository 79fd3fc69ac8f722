/** The native API: one object that carries the token, and says in the end what the daemon said. */

import { Problem, Unreachable } from "./problems.js"

/** @param {string} namespace @param {string} [name] @param {string} [collection] */
export function namePath(namespace, name, collection = "names") {
  const segments = name === undefined ? [] : name.split("/")
  return ["/v1", collection, encodeURIComponent(namespace), ...segments.map(encodeURIComponent)].join("/")
}

/** @param {string} uuid @param {...string} rest */
export function blobPath(uuid, ...rest) {
  return ["/v1/blobs", ...[uuid, ...rest].map(encodeURIComponent)].join("/")
}

/** Where it is from this page, which a proxy may have put below a prefix. @param {string} path */
export function here(path) {
  return new URL(path.replace(/^\//, ""), document.baseURI).href
}

export class Api {
  /** @param {string} token @param {() => void} onRefused called when the token is not good (any more) */
  constructor(token, onRefused) {
    this.token = token
    this.onRefused = onRefused
  }

  get headers() {
    return { Authorization: `Bearer ${this.token}` }
  }

  /**
   * The answer, whatever is in it. Throws Problem, Unreachable, and AbortError when `signal` says so.
   * @param {string} method
   * @param {string} path
   * @param {{ query?: Record<string, string | number | undefined | null>, json?: unknown, headers?: Record<string, string>, signal?: AbortSignal }} [more]
   */
  async ask(method, path, { query = {}, json, headers = {}, signal } = {}) {
    const url = new URL(here(path))
    for (const [key, value] of Object.entries(query)) {
      if (value !== undefined && value !== null) url.searchParams.set(key, String(value))
    }
    const body = json === undefined ? undefined : JSON.stringify(json)
    const type = json === undefined ? {} : { "Content-Type": "application/json" }
    const init = { method, body, signal, headers: { ...this.headers, ...type, ...headers }, credentials: /** @type {const} */ ("omit") }
    const response = await fetch(url, init).catch((error) => {
      throw error.name === "AbortError" ? error : new Unreachable(error.message)
    })
    if (!response.ok) throw await this.#problem(response)
    return response
  }

  /** @param {Response} response */
  async #problem(response) {
    const told = await response.json().catch(() => ({}))
    if (response.status === 401) this.onRefused()
    return new Problem(response.status, told)
  }

  /** @param {string} path @param {Record<string, any>} [query] @param {AbortSignal} [signal] @returns {Promise<any>} */
  async get(path, query, signal) {
    return (await this.ask("GET", path, { query, signal })).json()
  }

  /** @param {string} method @param {string} path @param {unknown} [json] @param {Record<string, any>} [query] @returns {Promise<any>} */
  async send(method, path, json, query) {
    const response = await this.ask(method, path, { json, query })
    return response.status === 204 ? null : response.json()
  }

  /** The first bytes of a payload, and whether there are more. @param {string} path @param {number} limit @param {AbortSignal} [signal] */
  async head(path, limit, signal) {
    const response = await this.ask("GET", path, { headers: { Range: `bytes=0-${limit - 1}` }, signal })
    return new Uint8Array(await response.arrayBuffer())
  }

  /**
   * A URL on this origin that a media element or a download can use without the token, for a while.
   * @param {string} path @param {number} expiresInS
   */
  async signed(path, expiresInS) {
    const { url } = await this.send("POST", "/v1/signed-urls", { path, expires_in: expiresInS })
    const at = url.indexOf("/v1/")
    return here(url.slice(at))
  }
}
