/** Where it begins: who asks, then the frame around all pages, then the page that the address names. */

import { Shell } from "./lib/shell.js"
import { Api } from "./lib/api.js"
import { session } from "./lib/session.js"
import { explain, Problem } from "./lib/problems.js"
import { signIn } from "./lib/signin.js"
import { remembered } from "./drop/remembered.js"

/** @param {{ title: string, wayOut: string } | null} [trouble] */
function askForToken(trouble = null) {
  session.forget()
  signIn(document.body, trouble, async (token) => {
    const me = await whoIs(token)
    session.keep(token)
    open(token, me)
  })
}

/** @param {string} token */
const whoIs = (token) => new Api(token, () => undefined).get("/v1/whoami")

/** @param {string} token @param {any} me */
function open(token, me) {
  const api = new Api(token, () => {
    shell.close()
    askForToken({ title: "You were signed out: this token is not good any more", wayOut: "It expired or was revoked. Ask an admin for a new one; what you had open comes back when you sign in." })
  })
  const shell = new Shell(api, me, () => {
    shell.close()
    remembered.forget()
    location.hash = "#/"
    askForToken()
  })
}

async function begin() {
  const token = session.token()
  if (!token) return askForToken()
  try {
    open(token, await whoIs(token))
  } catch (error) {
    if (error instanceof Problem && error.status === 401) askForToken(explain(error))
    else signIn.unreachable(document.body, error, begin)
  }
}

begin()
