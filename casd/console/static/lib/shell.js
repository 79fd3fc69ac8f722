/** The frame: the bar, the page, toasts, what is dropped; and the keys that work everywhere. */

import { fill, h } from "./dom.js"
import { icon } from "./icons.js"
import { moveInRows } from "./listing.js"
import { link, resolve, ROUTES } from "./router.js"
import { mark } from "./signin.js"
import { Toasts } from "./toast.js"
import { badge, button, empty, failure } from "./widgets.js"
import { Tray } from "../drop/tray.js"

/**
 * What every page is given.
 * @typedef {object} App
 * @property {import("./api.js").Api} api
 * @property {{ name: string, role: string, namespaces: string[] }} me
 * @property {Toasts} toasts
 * @property {Tray} tray files that are looked up and uploaded
 * @property {() => void} reload shows the page anew
 * @property {(hash: string) => void} go
 * @property {() => boolean} isAdmin
 * @property {() => boolean} mayWrite
 * @property {() => boolean} mayDelete
 */

export class Shell {
  #ending = new AbortController()
  #page = new AbortController()
  #trail = h("nav", { class: "trail", "aria-label": "Where you are" })
  #main = h("main", { id: "main", tabindex: -1 })

  /** @param {import("./api.js").Api} api @param {any} me @param {() => void} signOut */
  constructor(api, me, signOut) {
    /** @type {App} */
    this.app = {
      api,
      me,
      toasts: new Toasts(),
      tray: /** @type {any} */ (null),
      reload: () => this.#show(),
      go: (hash) => (location.hash === hash ? this.#show() : (location.hash = hash)),
      isAdmin: () => me.role === "admin",
      mayWrite: () => me.role !== "reader",
      mayDelete: () => me.role === "admin" || me.role === "writer",
    }
    this.app.tray = new Tray(this.app, this.#ending.signal)
    const { signal } = this.#ending
    addEventListener("hashchange", () => this.#show(), { signal })
    addEventListener("keydown", (event) => this.#key(event), { signal })
    fill(document.body, this.#bar(signOut), this.#trail, this.#main, this.app.tray.element, this.app.toasts.element)
    this.#show()
  }

  close() {
    this.#ending.abort()
    this.#page.abort()
  }

  /** @param {() => void} signOut */
  #bar(signOut) {
    const { me } = this.app
    const search = h("input", { type: "search", name: "q", placeholder: "Name from its start, checksum or UUID", "aria-label": "Find by name, checksum or UUID", "aria-keyshortcuts": "/", autocomplete: "off", spellcheck: "false" })
    const find = (/** @type {Event} */ event) => {
      event.preventDefault()
      if (search.value.trim()) this.app.go(link.find(search.value.trim()))
    }
    const entries = ROUTES.filter((route) => route.nav && (!route.admin || this.app.isAdmin()))
    return [
      h("a", { class: "skip", href: "#main", onclick: (/** @type {Event} */ event) => (event.preventDefault(), this.#main.focus()) }, "Skip to the content"),
      h(
        "header",
        { class: "bar" },
        h("a", { class: "brand", href: "#/" }, mark(), "casd"),
        h("nav", { "aria-label": "Pages" }, entries.map((route) => h("a", { href: `#${route.path}`, "data-nav": route.path }, route.nav))),
        h("form", { class: "search", role: "search", onsubmit: find }, icon("search"), search, h("kbd", { "aria-hidden": "true" }, "/")),
        h("div", { class: "who" }, button(this.app.mayWrite() ? "Upload" : "Is it here?", { icon: this.app.mayWrite() ? "upload" : "search", onclick: () => this.app.tray.choose() }), h("span", { class: "name", title: `Namespaces: ${me.namespaces.join(", ")}` }, me.name, badge(me.role)), button("Sign out", { kind: "quiet", onclick: signOut })),
      ),
    ]
  }

  async #show() {
    this.#page.abort()
    this.#page = new AbortController()
    const { signal } = this.#page
    const shown = location.hash
    const found = resolve(location.hash)
    this.#main.setAttribute("aria-busy", "true")
    for (const entry of document.querySelectorAll("[data-nav]")) {
      if (entry.getAttribute("data-nav") === entryOf(found?.route.path ?? "")) entry.setAttribute("aria-current", "true")
      else entry.removeAttribute("aria-current")
    }
    try {
      const page = found ? await (await found.route.load()).render(this.app, found.params, signal) : nowhere()
      if (signal.aborted) return
      document.title = `${page.title} · casd`
      fill(this.#trail, trail(page.crumbs ?? []))
      fill(this.#main, page.body)
    } catch (error) {
      if (signal.aborted) return
      const { namespace } = found?.params ?? {}
      fill(this.#trail, trail([{ label: "Namespaces", href: link.home() }, ...(namespace ? [{ label: namespace, href: link.folder(namespace) }] : [])]))
      fill(this.#main, failure(error, () => this.#show()))
    }
    this.#main.removeAttribute("aria-busy")
    if (this.#main.dataset.shown !== shown) scrollTo(0, 0) // another page, not the same one anew
    this.#main.dataset.shown = shown
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const at = /** @type {HTMLElement} */ (event.target)
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return
    if (event.key === "/" && !at.matches("input, textarea, select")) {
      event.preventDefault()
      document.querySelector(".bar input").focus()
    } else if (event.key === "Escape" && at.matches("input")) {
      at.blur()
    } else {
      moveInRows(event)
    }
  }
}

/** Below which of the bar's pages a path is. @param {string} path */
function entryOf(path) {
  const [, first] = path.split("/")
  return ["find", "watch", "access"].includes(first) ? `/${first}` : "/"
}

/** @param {{ label: string, href?: string }[]} crumbs */
function trail(crumbs) {
  const items = crumbs.map(({ label, href }) => h("li", null, href ? h("a", { href }, label) : h("span", { "aria-current": "page" }, label)))
  return crumbs.length ? h("ol", null, items) : null
}

function nowhere() {
  const body = empty("There is no such page", h("p", null, h("a", { href: "#/" }, "Go to the namespaces"), "."))
  return { title: "Nothing here", body }
}
