/** A name: what it is now, how it was before, and what can be done with it. */

import { h } from "../lib/dom.js"
import { namePath } from "../lib/api.js"
import { hideName, purgeName, removeVersion } from "../lib/deleting.js"
import { download } from "../lib/downloading.js"
import { blobFacts, digests } from "../lib/facts.js"
import { size, time } from "../lib/format.js"
import { icon } from "../lib/icons.js"
import { metadataPanel } from "../lib/metadata.js"
import { link } from "../lib/router.js"
import { told } from "../lib/toast.js"
import { versionsOf } from "../lib/versions.js"
import { badge, button, empty, panel, table } from "../lib/widgets.js"
import { preview } from "../previews/preview.js"
import { crumbs } from "./folder.js"

const SHOWN = 100 // versions

/** @typedef {import("../lib/shell.js").App} App */

/** @param {App} app @param {{ namespace: string, name: string, version?: string }} params @param {AbortSignal} signal */
export async function render(app, { namespace, name, version }, signal) {
  const [items, info] = await Promise.all([
    versionsOf(app.api, namespace, name, signal),
    app.api.get(namePath(namespace, name, "name-info"), {}, signal),
  ])
  const latest = items[0]
  const chosen = version === undefined ? items.find((/** @type {any} */ one) => one.blob) : items.find((/** @type {any} */ one) => String(one.version) === version)
  const it = { app, namespace, name, items, info, latest }
  const isOld = version !== undefined && chosen && chosen.version !== latest.version
  return {
    title: name,
    crumbs: crumbs(namespace, name),
    body: [
      heading(it, chosen),
      latest.deleted && hiddenNote(it),
      isOld && h("p", { class: "note" }, icon("clock"), `This is version ${chosen.version}. `, h("a", { href: link.name(namespace, name) }, "Go to the newest"), "."),
      version !== undefined && !chosen && empty("There is no such version", h("p", null, "It was removed, or it never was.")),
      h(
        "div",
        { class: "columns" },
        h("div", null, chosen?.blob && preview(app, chosen.blob, signal), versions(it, chosen)),
        chosen?.blob && h("div", null, about(chosen, info), digests(chosen.blob), metadataPanel(app, chosen.blob)),
      ),
    ],
  }
}

/** @param {any} it @param {any} chosen */
function heading({ app, namespace, name, items, info, latest }, chosen) {
  const short = name.split("/").pop()
  const protection = async () => {
    await app.api.send("PATCH", namePath(namespace, name, "name-info"), { protected: !info.protected })
    app.toasts.say(info.protected ? `${short} can be deleted again.` : `${short} is protected from deletion.`)
    app.reload()
  }
  const remove = async () => {
    if (!(await hideName(app, namespace, name, items))) return
    app.toasts.say(`${short} is deleted.`, { label: "Undo", onclick: () => undelete(app, namespace, name) })
    app.reload()
  }
  const purge = async () => {
    if (!(await purgeName(app, namespace, name, items))) return
    app.toasts.say(`${short} is gone, with all its versions.`)
    app.go(link.folder(namespace, name.slice(0, name.length - short.length)))
  }
  const path = chosen && `${namePath(namespace, name)}?version=${chosen.version}`
  return h(
    "div",
    { class: "title" },
    h("h1", null, short, info.protected && badge("protected", "ok"), latest.deleted && badge("deleted", "warn")),
    h(
      "div",
      { class: "actions" },
      chosen?.blob && button("Download", { icon: "download", kind: "primary", onclick: told(app, () => download(app, path)) }),
      app.mayDelete() && button(info.protected ? "Lift protection" : "Protect", { icon: "lock", onclick: told(app, protection) }),
      app.mayDelete() && !latest.deleted && button("Delete", { icon: "trash", onclick: remove, disabled: info.protected, title: info.protected ? "It is protected: lift the protection first" : undefined }),
      app.mayDelete() && latest.deleted && button("Delete for good", { icon: "trash", onclick: purge, disabled: info.protected }),
    ),
  )
}

/** @param {any} it */
function hiddenNote({ app, namespace, name }) {
  return h(
    "div",
    { class: "note" },
    icon("trash"),
    h("span", null, "This name is deleted and not listed. Its versions can still be brought back."),
    app.mayDelete() && button("Undelete", { icon: "undo", kind: "primary", onclick: told(app, () => undelete(app, namespace, name)) }),
  )
}

/** Removes the newest marker. @param {App} app @param {string} namespace @param {string} name */
async function undelete(app, namespace, name) {
  const [latest] = await versionsOf(app.api, namespace, name)
  if (latest?.deleted) await app.api.send("DELETE", namePath(namespace, name), undefined, { version: latest.version })
  app.toasts.say(`${name.split("/").pop()} is back.`)
  app.go(link.name(namespace, name))
}

/** @param {any} version @param {any} info */
function about(version, info) {
  return panel(
    "About",
    null,
    blobFacts(version.blob, [
      ["Version", String(version.version)],
      ["Published", [time(version.created_at), version.published_by && ` by ${version.published_by}`]],
      ["Keeps", info.keep_versions && `${info.keep_versions} versions`],
    ]),
  )
}

/** @param {any} it @param {any} chosen */
function versions({ app, namespace, name, items, info }, chosen) {
  const rows = items.slice(0, SHOWN).map((/** @type {any} */ one) => {
    const remove = async () => {
      if (!(await removeVersion(app, namespace, name, one))) return
      app.toasts.say(`Version ${one.version} is gone.`)
      app.go(link.name(namespace, name))
    }
    const path = `${namePath(namespace, name)}?version=${one.version}`
    return [
      h("a", { href: link.name(namespace, name, one.version), "data-row": true, "aria-current": one === chosen ? "true" : null }, String(one.version)),
      time(one.created_at),
      one.published_by ?? "",
      one.blob ? [size(one.blob.size), one.protected && [" ", badge("protected", "ok")]] : badge("deleted here", "warn"),
      one.blob && [
        button(`Download version ${one.version}`, { icon: "download", kind: "quiet", hidesLabel: true, onclick: told(app, () => download(app, path)) }),
        app.mayDelete() && items.length > 1 && button(`Delete version ${one.version} for good`, { icon: "trash", kind: "quiet", hidesLabel: true, onclick: remove, disabled: info.protected }),
      ],
    ]
  })
  const more = items.length > SHOWN && h("p", { class: "hint" }, `The newest ${SHOWN} of ${items.length} are shown. All of them: `, h("code", null, `casd versions ${name}`))
  return panel("Versions", null, table("Versions", ["Version", "Published", "By", "Size", ""], rows), more)
}
