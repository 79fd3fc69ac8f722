/**
 * Where we are stands behind the `#`, which no browser sends: no name and no digest gets into a server's log.
 *
 * A page is a module with `render(app, params, signal)`, which returns `{ title, crumbs, body }`; to add one, write it in
 * `pages/` and give it a line in ROUTES. `*path` takes the rest, slashes included. With `nav` it stands in the bar;
 * `admin` shows it there to admins alone (the daemon decides who may what, not this page).
 */

/** @typedef {{ path: string, load: () => Promise<any>, nav?: string, admin?: boolean }} Route */

/** @type {Route[]} */
export const ROUTES = [
  { path: "/", load: () => import("../pages/namespaces.js"), nav: "Browse" },
  { path: "/ns/:namespace/*prefix", load: () => import("../pages/folder.js") },
  { path: "/name/:namespace/*name", load: () => import("../pages/name.js") },
  { path: "/blobs/:namespace", load: () => import("../pages/blobs.js") },
  { path: "/blob/:uuid", load: () => import("../pages/blob.js") },
  { path: "/find", load: () => import("../pages/find.js"), nav: "Find" },
  { path: "/find/*query", load: () => import("../pages/find.js") },
  { path: "/watch", load: () => import("../pages/watch.js"), nav: "Watch", admin: true },
  { path: "/watch/upkeep", load: () => import("../pages/upkeep.js") },
  { path: "/watch/uploads", load: () => import("../pages/uploads.js") },
  { path: "/watch/quarantine", load: () => import("../pages/quarantine.js") },
  { path: "/watch/quarantine/:id", load: () => import("../pages/quarantine.js") },
  { path: "/watch/audit", load: () => import("../pages/audit.js") },
  { path: "/access", load: () => import("../pages/tokens.js"), nav: "Access", admin: true },
  { path: "/access/namespaces", load: () => import("../pages/quotas.js") },
]

/**
 * The route and its parameters, those of the query included.
 * @param {string} hash
 * @returns {{ route: Route, params: Record<string, string> } | null}
 */
export function resolve(hash) {
  const [path, query] = (hash.replace(/^#/, "") || "/").split("?", 2)
  const segments = path.split("/").slice(1)
  for (const route of ROUTES) {
    const params = match(route.path.split("/").slice(1), segments)
    if (params) return { route, params: { ...Object.fromEntries(new URLSearchParams(query)), ...params } }
  }
  return null
}

/** @param {string[]} pattern @param {string[]} segments */
function match(pattern, segments) {
  /** @type {Record<string, string>} */
  const params = {}
  for (const [at, part] of pattern.entries()) {
    if (part.startsWith("*")) {
      params[part.slice(1)] = segments.slice(at).map(decoded).join("/")
      return segments.length >= at ? params : null
    }
    if (segments[at] === undefined) return null
    if (part.startsWith(":")) params[part.slice(1)] = decoded(segments[at])
    else if (part !== segments[at]) return null
  }
  return pattern.length === segments.length ? params : null
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** @param {string} text */
const encoded = (text) => text.split("/").map(encodeURIComponent).join("/")

export const link = {
  home: () => "#/",
  /** @param {string} namespace @param {string} [prefix] */
  folder: (namespace, prefix = "") => `#/ns/${encodeURIComponent(namespace)}/${encoded(prefix)}`,
  /** @param {string} namespace @param {string} name @param {number} [version] */
  name: (namespace, name, version) =>
    `#/name/${encodeURIComponent(namespace)}/${encoded(name)}${version === undefined ? "" : `?version=${version}`}`,
  /** @param {string} uuid */
  blob: (uuid) => `#/blob/${encodeURIComponent(uuid)}`,
  /** @param {string} namespace */
  blobs: (namespace) => `#/blobs/${encodeURIComponent(namespace)}`,
  /** @param {string} query */
  find: (query) => `#/find/${encoded(query)}`,
}
