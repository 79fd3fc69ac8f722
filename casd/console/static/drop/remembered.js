/** Uploads that this tab had begun, so that it can say after a reload what to choose again. The bytes' digest decides. */

const KEY = "casd.unfinished"

/** @typedef {{ sha512: string, filename: string, size: number, namespace: string, name: string }} Begun */

export const remembered = {
  /** @returns {Begun[]} */
  all() {
    try {
      return JSON.parse(sessionStorage.getItem(KEY) ?? "[]")
    } catch {
      return []
    }
  },
  /** @param {Begun} begun */
  add(begun) {
    keep([...without(begun.sha512), begun])
  },
  /** Nobody who signs in next is told of them. */
  forget() {
    sessionStorage.removeItem(KEY)
  },
  /** @param {string} sha512 */
  remove(sha512) {
    keep(without(sha512))
  },
}

/** @param {string} sha512 */
const without = (sha512) => remembered.all().filter((begun) => begun.sha512 !== sha512)

/** @param {Begun[]} all */
const keep = (all) => sessionStorage.setItem(KEY, JSON.stringify(all))
