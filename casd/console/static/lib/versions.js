/** All versions of a name, the newest first; the daemon tells the oldest first. */

import { namePath } from "./api.js"

const PAGE = 1000

/** @param {import("./api.js").Api} api @param {string} namespace @param {string} name @param {AbortSignal} [signal] @returns {Promise<any[]>} */
export async function versionsOf(api, namespace, name, signal) {
  const found = []
  let cursor = null
  do {
    const page = await api.get(namePath(namespace, name, "versions"), { limit: PAGE, cursor }, signal)
    found.push(...page.items)
    cursor = page.next
  } while (cursor)
  return found.reverse()
}
