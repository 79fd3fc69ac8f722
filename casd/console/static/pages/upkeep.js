/** What keeps the store in order: when each ran last and what it did, and a button that runs it now. */

import { fill, h } from "../lib/dom.js"
import { ask } from "../lib/dialog.js"
import { every } from "../watch/every.js"
import { counted, durationText, sizeText, time } from "../lib/format.js"
import { tabs, WATCH } from "../watch/tabs.js"
import { badge, button, facts, failure, panel } from "../lib/widgets.js"

const LOOK_S = 3

/**
 * @typedef {{ kind: string, title: string, about: string, act: string, previews: boolean, options?: [string, string][] }} Task
 * `options` are parameters of its call that can be ticked, and what they mean.
 */

/** @type {Task[]} */
const TASKS = [
  { kind: "expire", title: "Expire", about: "Ends what is past its time: blobs, deleted names, uploads, tokens, versions beyond a name's rule.", act: "Expire now", previews: true },
  { kind: "collect-garbage", title: "Collect garbage", about: "Removes bytes that nothing holds any more, once their grace has passed.", act: "Collect now", previews: true, options: [["force", "Also if it takes more than half of the store"]] },
  { kind: "scrub", title: "Scrub", about: "Reads payloads again and compares them with their checksums. What is damaged goes to quarantine.", act: "Scrub now", previews: true, options: [["deep", "Deeply: by SHA-512, all of it"]] },
  { kind: "repair", title: "Repair", about: "Fetches damaged payloads from the sources that the configuration names, and checks them.", act: "Repair now", previews: false },
]

/** @param {import("../lib/shell.js").App} app @param {any} _ @param {AbortSignal} signal */
export async function render(app, _, signal) {
  const place = h("div", { class: "cards" })
  const trouble = h("div", null)
  const show = async () => {
    const { upkeep } = await app.api.get("/v1/status", {}, signal)
    fill(place, TASKS.map((task) => card(app, task, upkeep[task.kind], look)))
  }
  const look = () => show().catch((error) => signal.aborted || fill(trouble, failure(error)))
  await show()
  every(LOOK_S, signal, show, (error) => fill(trouble, error ? failure(error) : null))
  return { title: "Upkeep", body: [h("div", { class: "title" }, h("h1", null, "Watch")), tabs("Watch", WATCH, "#/watch/upkeep"), trouble, place] }
}

/** @param {import("../lib/shell.js").App} app @param {Task} task @param {any} run @param {() => void} onBegun */
function card(app, task, run, onBegun) {
  const isRunning = Boolean(run && !run.ended_at)
  const actions = [isRunning ? badge("running", "ok") : button(`${task.title} …`, { title: task.previews ? "Shows first what it would do" : undefined, onclick: () => begin(app, task, onBegun), disabled: isRunning })]
  return panel(task.title, actions, h("p", { class: "hint" }, task.about), run ? outcome(run) : h("p", { class: "hint" }, "It has not run since the daemon started."))
}

/** @param {any} run */
function outcome(run) {
  const took = run.ended_at && (Date.parse(run.ended_at) - Date.parse(run.started_at)) / 1000
  return h(
    "div",
    null,
    facts([
      ["Began", time(run.started_at)],
      ["Took", took !== null && (took < 1 ? "less than a second" : durationText(took))],
      ...(run.report ? reported(run.report) : []),
    ]),
    run.error && h("p", { class: "note" }, run.error),
  )
}

/** What a report says, in words; lists are told by their length. @param {any} report @returns {[string, any][]} */
function reported(report) {
  return Object.entries(report)
    .filter(([key, value]) => !["dry_run", "deep", "whole"].includes(key) && !(Array.isArray(value) && !value.length))
    .map(([key, value]) => [words(key), key.endsWith("bytes") ? sizeText(value) : Array.isArray(value) ? counted(value.length, "entry", "entries") : value === null ? false : String(value)])
}

/** @param {string} key */
const words = (key) => key.replaceAll("_", " ").replace(/^./, (letter) => letter.toUpperCase())

/**
 * Shows what it would do first, where it can tell. The run itself is not waited for: it can take hours, and goes on
 * whether this page is open or not.
 * @param {import("../lib/shell.js").App} app @param {Task} task @param {() => void} onBegun
 */
async function begin(app, task, onBegun) {
  const ticks = (task.options ?? []).map(([name, label]) => ({ name, box: h("input", { type: "checkbox" }), label }))
  const path = `/v1/upkeep/${task.kind}`
  const wanted = () => Object.fromEntries(ticks.filter(({ box }) => box.checked).map(({ name }) => [name, 1]))
  const preview = task.previews ? app.api.send("POST", path, undefined, { dry_run: 1, ...(task.kind === "collect-garbage" ? { force: 1 } : {}) }) : Promise.resolve(null)
  const body = preview.then((report) => [
    h("p", null, task.about),
    report && h("div", { class: "effect" }, h("h3", null, "It would do this now:"), facts(reported(report)), !reported(report).length && "Nothing."),
    ticks.map(({ box, label }) => h("label", { class: "tick" }, box, label)),
  ])
  const act = async () => {
    const answer = app.api.send("POST", path, undefined, wanted())
    answer.then(
      () => app.toasts.say(`${task.title}: done.`),
      (error) => app.toasts.fail(error),
    )
    await Promise.race([answer.catch(() => undefined), new Promise((resolve) => setTimeout(resolve, 400))])
  }
  if (await ask({ title: `${task.title}?`, body, confirm: task.act, act })) onBegun()
}

