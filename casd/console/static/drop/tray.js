/** What is dropped or chosen anywhere on the page, each file with what becomes of it. */

import { fill, h } from "../lib/dom.js"
import { counted } from "../lib/format.js"
import { icon } from "../lib/icons.js"
import { button } from "../lib/widgets.js"
import { Hasher } from "./hashing.js"
import { Item } from "./item.js"
import { remembered } from "./remembered.js"

const NAMESPACES = 1000

/** @typedef {import("./item.js").Place} Place */

export class Tray {
  #hasher = new Hasher()
  #items = /** @type {Item[]} */ ([])
  #list = h("ul", { class: "items" })
  #title = h("h2", null, "Files")
  #input
  #veil = h("div", { class: "veil", hidden: true }, h("div", null, icon("upload"), h("p", null, "Drop it: is it here?"), h("p", { class: "hint" }, "It is hashed in this browser; only its digest is asked for.")))
  /** @type {Place} */
  #place

  /** @param {import("../lib/shell.js").App} app @param {AbortSignal} signal ends it */
  constructor(app, signal) {
    this.app = app
    this.#place = this.#home
    this.#input = h("input", { type: "file", multiple: true, hidden: true, "aria-hidden": "true", onchange: () => this.#chosen() })
    const fold = button("Fold", { icon: "arrow", kind: "quiet", hidesLabel: true, onclick: () => this.panel.classList.toggle("folded") })
    const clear = button("Close", { icon: "close", kind: "quiet", hidesLabel: true, onclick: () => this.#clear() })
    this.panel = h("section", { class: "tray", "aria-label": "Files that you dropped", hidden: true }, h("header", null, this.#title, fold, clear), this.#list)
    this.element = h("div", null, this.#veil, this.panel, this.#input)
    this.#listen(signal)
    this.#remind()
    signal.addEventListener("abort", () => this.#clear())
  }

  get #home() {
    return { namespace: this.app.me.namespaces[0] ?? "default", prefix: "" }
  }

  /** What is dropped from now on is meant for here, while `signal` lasts. @param {Place} place @param {AbortSignal} signal */
  goTo(place, signal) {
    this.#place = place
    signal.addEventListener("abort", () => (this.#place = this.#home))
  }

  /** Lets files be chosen. @param {Place} [place] */
  choose(place = this.#place) {
    this.#input.place = place
    this.#input.click()
  }

  #chosen() {
    this.add([...this.#input.files], this.#input.place)
    this.#input.value = ""
  }

  /** @param {File[]} files @param {Place} [place] */
  add(files, place = this.#place) {
    for (const file of files) {
      const item = new Item(this.app, file, { place, hasher: this.#hasher, namespaces: this.#namespaces, onEnd: (ended) => this.#ended(ended) })
      this.#items.push(item)
      this.#list.prepend(item.element)
      item.run()
    }
    this.panel.classList.remove("folded")
    this.#remind()
  }

  #namespaces = async () => {
    const { items } = await this.app.api.get("/v1/namespaces", { limit: NAMESPACES })
    return items.map((/** @type {any} */ { name }) => name)
  }

  /** @param {Item} item */
  #ended(item) {
    this.#items = this.#items.filter((other) => other !== item)
    this.#remind()
  }

  #clear() {
    for (const item of [...this.#items]) item.end()
    this.panel.hidden = true
  }

  /** Says what was begun before a reload and is not in the list; shows or hides the tray. */
  #remind() {
    for (const note of this.#list.querySelectorAll(".reminder")) note.remove()
    const here = new Set(this.#items.map(({ file }) => `${file.size} ${file.name}`))
    const begun = remembered.all().filter(({ filename, size }) => !here.has(`${size} ${filename}`))
    for (const one of begun) {
      const forget = () => (remembered.remove(one.sha512), this.#remind())
      const actions = h("div", { class: "actions" }, button("Choose it again", { icon: "play", kind: "primary", onclick: () => this.choose() }), button("Forget it", { kind: "quiet", onclick: forget }))
      this.#list.append(h("li", { class: "item reminder" }, h("header", null, icon("clock"), h("strong", { class: "filename" }, one.filename)), h("p", null, "Its upload was interrupted. Choose or drop the file again: it goes on where it was."), actions))
    }
    this.panel.hidden = !this.#items.length && !begun.length
    fill(this.#title, this.#items.length ? counted(this.#items.length, "file") : "Unfinished")
  }

  /** @param {AbortSignal} signal */
  #listen(signal) {
    const isFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files")
    addEventListener("dragover", (event) => {
      if (!isFiles(event)) return
      event.preventDefault()
      this.#veil.hidden = false
    }, { signal })
    addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) this.#veil.hidden = true
    }, { signal })
    addEventListener("drop", (event) => {
      if (!isFiles(event)) return
      event.preventDefault()
      this.#veil.hidden = true
      this.add([...(event.dataTransfer?.files ?? [])])
    }, { signal })
  }
}
