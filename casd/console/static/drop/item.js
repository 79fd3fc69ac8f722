/** One file in the tray: hashed, looked up, and uploaded if it is not here. */

import { namePath } from "../lib/api.js"
import { fill, h } from "../lib/dom.js"
import { counted, durationText, sizeText, stripe } from "../lib/format.js"
import { icon } from "../lib/icons.js"
import { link } from "../lib/router.js"
import { told } from "../lib/toast.js"
import { badge, button, failure, field, progressBar } from "../lib/widgets.js"
import { remembered } from "./remembered.js"

const NAMES_SHOWN = 5

/** @typedef {{ namespace: string, prefix: string }} Place */

export class Item {
  #ending = new AbortController()
  #bar
  #state = h("p", { class: "state", role: "status", "aria-live": "polite" })
  #numbers = h("p", { class: "numbers" })
  #body = h("div", null)
  #sha512 = ""
  /** @type {import("./sending.js").Sending | null} */
  #sending = null

  /**
   * @param {import("../lib/shell.js").App} app @param {File} file
   * @param {{ place: Place, hasher: import("./hashing.js").Hasher, namespaces: () => Promise<string[]>, onEnd: (item: Item) => void }} surroundings
   */
  constructor(app, file, surroundings) {
    this.app = app
    this.file = file
    this.filename = file.name.replace(/[\u0000-\u001f\u007f-\u009f]/g, "_") // what no name may have
    this.surroundings = surroundings
    this.#bar = progressBar(`Progress of ${file.name}`)
    const close = button(`Remove ${file.name} from this list`, { icon: "close", kind: "quiet", hidesLabel: true, onclick: () => this.end() })
    const head = h("header", null, icon("file"), h("strong", { class: "filename", title: file.name }, file.name), h("span", { class: "muted" }, sizeText(file.size)), close)
    this.element = h("li", { class: "item" }, head, this.#bar.element, this.#state, this.#numbers, this.#body)
  }

  /** Leaves the list; what was sent of it stays at the daemon for a while. */
  end() {
    this.#ending.abort()
    this.#sending?.pause()
    this.element.remove()
    this.surroundings.onEnd(this)
  }

  async run() {
    try {
      this.#say("Hashing it here …")
      const started = Date.now()
      this.#sha512 = await this.surroundings.hasher.digest(this.file, (done) => this.#advance(done, 0, started), this.#ending.signal)
      this.#say("Asking whether it is here …")
      const { items } = await this.app.api.get(`/v1/checksums/sha512/${this.#sha512}`, {}, this.#ending.signal)
      if (items.length) this.#showHere(items)
      else await this.#showAbsent()
    } catch (error) {
      if (!this.#ending.signal.aborted) this.#fail(error, () => this.run())
    }
  }

  /** @param {any} text */
  #say(text) {
    fill(this.#state, text)
    fill(this.#body)
  }

  /** @param {unknown} error @param {() => void} again */
  #fail(error, again) {
    this.element.classList.remove("busy")
    this.#bar.element.hidden = true
    fill(this.#numbers)
    fill(this.#state)
    fill(this.#body, failure(error, again))
  }

  /** @param {number} done @param {number} from where it began @param {number} since in ms */
  #advance(done, from, since) {
    this.#bar.element.hidden = false
    this.#bar.set(this.file.size ? done / this.file.size : 1)
    const seconds = (Date.now() - since) / 1000
    const speed = (done - from) / Math.max(seconds, 0.001)
    const rest = seconds > 1 && done < this.file.size ? `, ${durationText((this.file.size - done) / speed)} left` : ""
    const rate = seconds > 1 ? ` at ${sizeText(Math.round(speed))}/s` : ""
    fill(this.#numbers, `${sizeText(done)} of ${sizeText(this.file.size)}${rate}${rest}`)
  }

  #rest() {
    this.#bar.element.hidden = true
    fill(this.#numbers)
  }

  /** @param {any[]} blobs */
  #showHere(blobs) {
    remembered.remove(this.#sha512)
    this.#rest()
    const names = blobs.flatMap((blob) => blob.names)
    this.#say([badge("here", "ok"), names.length ? ` The store has it, under ${counted(names.length, "name")}.` : " The store has it, under no name.", stripe(this.#sha512)])
    const shown = names.slice(0, NAMES_SHOWN).map((ref) => h("li", null, h("a", { href: link.name(ref.namespace, ref.name, ref.version) }, ref.name), h("span", { class: "muted" }, ` version ${ref.version} in ${ref.namespace}`)))
    const all = h("a", { href: names.length > NAMES_SHOWN ? link.find(this.#sha512) : link.blob(blobs[0].uuid) }, names.length > NAMES_SHOWN ? "See all of them" : "See the blob")
    const bind = async (/** @type {string} */ namespace, /** @type {string} */ name) => {
      await this.app.api.send("PUT", namePath(namespace, name), undefined, { blob: blobs[0].uuid })
      this.#showStored(namespace, name)
    }
    const another = this.app.mayWrite() && h("details", null, h("summary", null, "Give it another name"), this.#form("Give it this name", bind))
    fill(this.#body, h("ul", { class: "names" }, shown, h("li", null, all)), another)
  }

  async #showAbsent() {
    this.#rest()
    if (!this.app.mayWrite()) return this.#say([badge("not here", "warn"), " The store does not have it. Your token may not upload."])
    const begun = remembered.all().find(({ sha512 }) => sha512 === this.#sha512)
    const namespaces = begun ? [begun.namespace] : await this.surroundings.namespaces()
    const { unfinished } = await import("./sending.js")
    const [upload] = await unfinished(this.app.api, this.#sha512, this.file.size, namespaces)
    if (begun) return this.#send(begun.namespace, begun.name, upload)
    if (upload?.name) {
      const percent = Math.floor((upload.offset / this.file.size) * 100)
      this.#say([badge("begun", "warn"), ` ${percent} % of it came before, for `, h("strong", null, upload.name), ` in ${upload.namespace}.`])
      fill(this.#body, button("Go on", { icon: "play", kind: "primary", onclick: () => this.#send(upload.namespace, upload.name, upload) }))
      return
    }
    this.#say([badge("not here", "warn"), " The store does not have it yet."])
    fill(this.#body, this.#form("Upload", async (namespace, name) => this.#send(namespace, name, upload)))
  }

  /** Where to, and under which name. @param {string} label @param {(namespace: string, name: string) => Promise<unknown>} act */
  #form(label, act) {
    const { place, namespaces } = this.surroundings
    const namespace = h("select", null, h("option", null, place.namespace))
    namespaces().then((all) => fill(namespace, all.map((one) => h("option", { selected: one === place.namespace }, one))))
    const name = h("input", { required: true, value: place.prefix + this.filename, autocomplete: "off", spellcheck: "false" })
    const go = button(label, { icon: "upload", kind: "primary", type: "submit" })
    const trouble = h("div", null)
    const submitted = async (/** @type {Event} */ event) => {
      event.preventDefault()
      go.disabled = true
      try {
        await act(namespace.value, name.value)
      } catch (error) {
        fill(trouble, failure(error))
        go.disabled = false
      }
    }
    return h("form", { onsubmit: submitted }, h("div", { class: "fields" }, field("Namespace", namespace), field("Name", name)), trouble, go)
  }

  /** @param {string} namespace @param {string} name @param {any} [upload] to go on with */
  async #send(namespace, name, upload) {
    const { Sending } = await import("./sending.js")
    remembered.add({ sha512: this.#sha512, filename: this.file.name, size: this.file.size, namespace, name })
    let from = upload?.offset ?? 0
    let since = Date.now()
    const controls = h("div", { class: "actions" })
    const sending = new Sending(this.app.api, this.file, { sha512: this.#sha512, filename: this.filename, namespace, name, url: upload?.url }, {
      onProgress: (sent) => {
        if (this.element.classList.contains("waiting")) going()
        this.#advance(sent, from, since)
      },
      onStored: () => this.#showStored(namespace, name),
      onWaiting: () => {
        this.element.classList.add("waiting")
        fill(this.#state, "The connection is lost. It goes on by itself when it is back.")
      },
      onRefused: (error) => {
        remembered.remove(this.#sha512)
        this.#fail(error, () => this.#showAbsent())
      },
    })
    const going = () => {
      this.element.classList.remove("waiting")
      fill(this.#state, from ? `Going on from ${sizeText(from)} …` : "Uploading …")
      fill(controls, button("Pause", { icon: "pause", onclick: paused }), stop)
    }
    const paused = () => {
      sending.pause()
      fill(this.#state, "Paused. It can go on for days, also after a reload.")
      fill(controls, button("Resume", { icon: "play", kind: "primary", onclick: resumed }), stop)
    }
    const resumed = () => {
      since = Date.now()
      from = Number(this.#bar.element.getAttribute("aria-valuenow")) * this.file.size * 0.01
      going()
      sending.start()
    }
    const stop = button("Stop", { icon: "close", kind: "quiet", onclick: told(this.app, () => this.#stop(sending)) })
    this.#sending = sending
    this.#advance(from, from, since)
    fill(this.#body, controls)
    going()
    sending.start()
  }

  /** @param {import("./sending.js").Sending} sending */
  async #stop(sending) {
    remembered.remove(this.#sha512)
    await sending.drop()
    this.#sending = null
    await this.#showAbsent()
  }

  /** @param {string} namespace @param {string} name */
  #showStored(namespace, name) {
    remembered.remove(this.#sha512)
    this.#sending = null
    this.#rest()
    this.#say([badge("stored", "ok"), " ", h("a", { href: link.name(namespace, name) }, name), h("span", { class: "muted" }, ` in ${namespace}`)])
    if (location.hash.startsWith(link.folder(namespace))) this.app.reload()
  }
}
