/** Line icons of 20 by 20, drawn with the colour of the text beside them. */

import { svg } from "./dom.js"

const PATHS = {
  archive: "M3 4h14v4H3zM4.5 8v8h11V8M8 11h4",
  arrow: "M8 5l5 5-5 5",
  audio: "M8 15V5l8-2v10M8 15a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0zM16 13a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0z",
  check: "M4 10.5l4 4 8-9",
  clock: "M10 6v4l3 2M17 10a7 7 0 1 1-14 0 7 7 0 0 1 14 0z",
  close: "M5 5l10 10M15 5L5 15",
  copy: "M7 7h9v9H7zM4 13V4h9",
  download: "M10 3v9m-4-4l4 4 4-4M4 16h12",
  file: "M5 3h6l4 4v10H5zM11 3v4h4",
  folder: "M3 5h5l2 2h7v9H3z",
  image: "M3 4h14v12H3zM3 13l4-4 4 4 2-2 4 4M13 8h.01",
  key: "M12.5 3a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM9.3 10.7L3 17v-3m3 0l2 2",
  lock: "M5 9h10v8H5zM7 9V6.5a3 3 0 0 1 6 0V9",
  pencil: "M4 16l1-4 8-8 3 3-8 8zM11.5 5.5l3 3",
  pause: "M7 4v12M13 4v12",
  play: "M6 4l10 6-10 6z",
  plus: "M10 4v12M4 10h12",
  search: "M9 15A6 6 0 1 0 9 3a6 6 0 0 0 0 12zM13.5 13.5L17 17",
  table: "M3 4h14v12H3zM3 8h14M3 12h14M9 4v12",
  trash: "M4 6h12M8 6V4h4v2M6 6l.7 11h6.6L14 6",
  undo: "M7 4L3 8l4 4M3 8h9a5 5 0 0 1 0 10h-2",
  upload: "M10 16V6M6 9l4-4 4 4M4 3h12",
  video: "M3 5h10v10H3zM13 9l4-3v8l-4-3",
  warning: "M10 3l8 14H2zM10 8v4M10 14.5h.01",
}

/** @param {keyof typeof PATHS} name */
export function icon(name) {
  const path = svg("path", { d: PATHS[name] })
  return svg("svg", { class: "icon", viewBox: "0 0 20 20", "aria-hidden": "true", focusable: "false" }, path)
}

/** What a content type looks like. @param {string | undefined} contentType @returns {keyof typeof PATHS} */
export function iconOfType(contentType = "") {
  const [group] = contentType.split("/", 1)
  if (group === "image" || group === "video" || group === "audio") return group
  if (/csv|spreadsheet|parquet|excel|arrow/.test(contentType)) return "table"
  if (/zip|tar|compress|x-7z|x-xz|diskimage|qcow/.test(contentType)) return "archive"
  return "file"
}
