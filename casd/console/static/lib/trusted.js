/** The few scripts that are named by a text: browsers with Trusted Types want to be told that they are ours. */

const types = /** @type {any} */ (globalThis).trustedTypes
const policy = types?.createPolicy("casd-script", { createScriptURL: own })

/** @param {string} url */
function own(url) {
  if (new URL(url).origin !== location.origin) throw new TypeError(`${url} is not this daemon's`)
  return url
}

/** @param {string} url absolute; of a script that came with this page @returns {any} */
export function trusted(url) {
  return policy ? policy.createScriptURL(url) : own(url)
}
