/** The token while this tab lives: sessionStorage, never a cookie, a URL or a log. */

const KEY = "casd.token"

export const session = {
  /** @returns {string | null} */
  token: () => sessionStorage.getItem(KEY),
  /** @param {string} token */
  keep: (token) => sessionStorage.setItem(KEY, token),
  forget: () => sessionStorage.removeItem(KEY),
}
