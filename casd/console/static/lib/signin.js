/** The page before all others: which token. */

import { fill, h } from "./dom.js"
import { icon } from "./icons.js"
import { Problem } from "./problems.js"
import { button, failure, field } from "./widgets.js"

/**
 * @param {HTMLElement} place
 * @param {{ title: string, wayOut: string, detail?: string } | null} trouble why it is asked for again
 * @param {(token: string) => Promise<void>} enter Throws where the token is not good.
 */
export function signIn(place, trouble, enter) {
  document.title = "Sign in · casd"
  const input = h("input", { type: "password", name: "token", autocomplete: "off", spellcheck: "false", required: true, "aria-required": "true" })
  const told = h("div", { "aria-live": "polite" }, trouble && note(trouble))
  const go = button("Sign in", { kind: "primary", type: "submit" })
  const submitted = async (/** @type {Event} */ event) => {
    event.preventDefault()
    go.disabled = true
    try {
      await enter(input.value.trim())
    } catch (error) {
      fill(told, error instanceof Problem && error.status === 401 ? note({ ...REFUSED, detail: error.message }) : failure(error))
      go.disabled = false
      input.select()
    }
  }
  const form = h(
    "form",
    { onsubmit: submitted },
    h("h1", null, mark(), "casd"),
    h("p", { class: "lead" }, "See and handle what this store holds."),
    told,
    field("Token", input),
    go,
    h(
      "details",
      null,
      h("summary", null, "Where do I get one?"),
      h("p", null, "On the daemon's machine the first admin token stands in a file of its data folder:"),
      h("pre", null, "cat ~/.local/share/casd/admin.token"),
      h("p", null, "An admin makes one for somebody else, of one namespace:"),
      h("pre", null, 'casd token create "your name" --role writer --namespace NAME'),
    ),
    h("p", { class: "hint" }, "It stays in this tab, and is gone when the tab is closed."),
  )
  fill(place, h("main", { class: "signin" }, form))
  input.focus()
}

const REFUSED = {
  title: "This token is not good here",
  wayOut: "Look whether all of it was copied: it begins with casd_ and has no spaces. Tokens also expire and can be revoked; then ask an admin for a new one.",
}

/** @param {{ title: string, wayOut: string, detail?: string }} trouble */
function note({ title, wayOut, detail }) {
  const told = detail && h("p", { class: "detail" }, "The daemon says: ", detail)
  return h("div", { class: "failure", role: "alert" }, icon("key"), h("div", null, h("h2", null, title), h("p", null, wayOut), told))
}

/** @param {HTMLElement} place @param {unknown} error @param {() => void} again */
signIn.unreachable = (place, error, again) => fill(place, h("main", { class: "signin" }, failure(error, again)))

/** The sign of casd, as it stands in the bar too. */
export function mark() {
  return h("span", { class: "mark", "aria-hidden": "true" }, h("i", null), h("i", null), h("i", null))
}
