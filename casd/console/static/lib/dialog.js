/** Questions that want an answer before anything else. Esc and the way back say no. */

import { fill, h } from "./dom.js"
import { button, failure, uniqueId } from "./widgets.js"

/**
 * Ask, and act while the dialog is open: what fails is told in it. Resolves to whether it was done.
 * @param {{ title: string, body: any, confirm: string, danger?: boolean, act: () => Promise<unknown> }} question
 * `body` may be a promise: what takes a moment to find out is shown when it is known, and only then can be confirmed.
 * @returns {Promise<boolean>}
 */
export function ask({ title, body, confirm, danger = false, act }) {
  const id = uniqueId("dialog")
  const content = h("div", { class: "dialog-body" }, h("p", { class: "loading" }, "One moment …"))
  const trouble = h("div", null)
  const yes = button(confirm, { kind: danger ? "danger" : "primary", type: "submit", disabled: true })
  const dialog = h("dialog", { "aria-labelledby": id })
  const form = h(
    "form",
    { onsubmit: submitted },
    h("h2", { id }, title),
    content,
    trouble,
    h("footer", null, button("Cancel", { onclick: () => dialog.close() }), yes),
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
      const first = content.querySelector("input, select, textarea") ?? yes
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
