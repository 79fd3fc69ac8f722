/** Questions that want an answer before anything else. Esc and the way back say no. */

import { fill, h } from "./dom.js"
import { button, failure, uniqueId } from "./widgets.js"

/**
 * Ask, and act while the dialog is open: what fails is told in it. Resolves to whether it was done.
 * @param {{ title: string, body: any, confirm: string, danger?: boolean, only?: boolean, act: () => Promise<unknown> }} question
 * With `only` there is no way out but to confirm: what it shows is not shown again. `body` may be a promise: what takes a moment to find out is shown when it is known, and only then can be confirmed.
 * @returns {Promise<boolean>}
 */
export function ask({ title, body, confirm, danger = false, only = false, act }) {
  const id = uniqueId("dialog")
  const content = h("div", { class: "dialog-body" }, h("p", { class: "loading" }, "One moment …"))
  const trouble = h("div", null)
  const yes = button(confirm, { kind: danger ? "danger" : "primary", type: "submit", disabled: true })
  const no = button("Cancel", { onclick: () => dialog.close() })
  const dialog = h("dialog", { "aria-labelledby": id, oncancel: (/** @type {Event} */ event) => only && event.preventDefault(), closedby: only ? "none" : null })
  const form = h(
    "form",
    { onsubmit: submitted },
    h("h2", { id }, title),
    content,
    trouble,
    h("footer", null, !only && no, yes),
  )

  /** @param {Event} event */
  async function submitted(event) {
    event.preventDefault()
    yes.disabled = true
    try {
      await act()
      dialog.close("done")
    } catch (error) {
      fill(trouble, failure(error))
      yes.disabled = false
    }
  }

  dialog.append(form)
  document.body.append(dialog)
  dialog.showModal()
  Promise.resolve(body).then(
    (known) => {
      fill(content, known)
      yes.disabled = false
      const first = content.querySelector("input, select, textarea") ?? (danger ? no : yes)
      first.focus()
    },
    (error) => fill(content, failure(error)),
  )
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove()
      resolve(dialog.returnValue === "done")
    })
  })
}
