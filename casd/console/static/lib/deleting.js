/** What deleting would do, found out before it is done: which bytes would be free, and what can be brought back. */

import { blobPath, namePath } from "./api.js"
import { ask } from "./dialog.js"
import { h } from "./dom.js"
import { counted, sizeText } from "./format.js"

const LOOKED_AT = 50 // versions; of a name with more, "at least" is said

/** @typedef {import("./shell.js").App} App */

/**
 * How many bytes nothing would hold any more without these versions of a name.
 * @param {App} app @param {string} namespace @param {string} name @param {any[]} versions
 */
async function freedBy(app, namespace, name, versions) {
  const blobs = [...new Set(versions.filter((one) => one.blob).map((one) => one.blob.uuid))]
  const numbers = new Set(versions.map((one) => one.version))
  const found = await Promise.all(blobs.slice(0, LOOKED_AT).map((uuid) => app.api.get(blobPath(uuid, "holders"))))
  const isOnlyOurs = (/** @type {any} */ held) =>
    !held.holds_itself &&
    held.versions.length === held.version_count &&
    held.versions.every((/** @type {any} */ ref) => ref.namespace === namespace && ref.name === name && numbers.has(ref.version))
  const bytes = found.filter(isOnlyOurs).reduce((sum, held) => sum + held.frees_bytes, 0)
  return { bytes, isWhole: blobs.length <= LOOKED_AT }
}

/** @param {{ bytes: number, isWhole: boolean }} freed */
function freedText({ bytes, isWhole }) {
  if (!bytes && isWhole) return "That frees nothing: other names or blobs hold the same bytes."
  return `That frees ${isWhole ? "" : "at least "}${sizeText(bytes)}.`
}

/** @param {App} app @param {string} namespace @param {string} name @param {any[]} versions */
export function hideName(app, namespace, name, versions) {
  const body = freedBy(app, namespace, name, versions).then((freed) => [
    h("p", null, "It is not listed any more. Its ", counted(versions.filter((one) => one.blob).length, "version"), " can be brought back until upkeep removes them, by default for a week."),
    h("p", { class: "effect" }, freed.bytes ? ["That frees nothing at once, and ", h("strong", null, freed.isWhole ? "" : "at least ", sizeText(freed.bytes)), " when upkeep removes it."] : freedText(freed)),
  ])
  return ask({ title: `Delete ${name}?`, body, confirm: "Delete", danger: true, act: () => app.api.send("DELETE", namePath(namespace, name)) })
}

/** @param {App} app @param {string} namespace @param {string} name @param {any} version */
export function removeVersion(app, namespace, name, version) {
  const body = freedBy(app, namespace, name, [version]).then((freed) => [
    h("p", null, "This version cannot be brought back."),
    h("p", { class: "effect" }, h("strong", null, freedText(freed))),
  ])
  const act = () => app.api.send("DELETE", namePath(namespace, name), undefined, { version: version.version })
  return ask({ title: `Delete version ${version.version} for good?`, body, confirm: "Delete for good", danger: true, act })
}

/** @param {App} app @param {string} namespace @param {string} name @param {any[]} versions */
export function purgeName(app, namespace, name, versions) {
  const body = freedBy(app, namespace, name, versions).then((freed) => [
    h("p", null, "The name and ", counted(versions.length, "version"), " go, and cannot be brought back."),
    h("p", { class: "effect" }, h("strong", null, freedText(freed))),
  ])
  const act = () => app.api.send("DELETE", namePath(namespace, name), undefined, { purge: 1 })
  return ask({ title: `Delete ${name} with all versions?`, body, confirm: "Delete for good", danger: true, act })
}

/** @param {App} app @param {any} blob */
export function deleteBlob(app, blob) {
  const body = app.api.get(blobPath(blob.uuid, "holders")).then((held) => {
    if (held.version_count) {
      return [
        h("p", null, "It stays readable: ", counted(held.version_count, "version"), " of names hold it. Only its own hold is dropped."),
        h("p", { class: "effect" }, h("strong", null, "That frees nothing.")),
      ]
    }
    const others = held.other_blobs
    const text = others ? `That frees nothing: ${counted(others, "other blob has", "other blobs have")} the same bytes.` : `That frees ${sizeText(held.frees_bytes)}.`
    return [h("p", null, "The blob and its metadata cannot be brought back."), h("p", { class: "effect" }, h("strong", null, text))]
  })
  return ask({ title: "Delete this blob?", body, confirm: "Delete for good", danger: true, act: () => app.api.send("DELETE", blobPath(blob.uuid)) })
}
