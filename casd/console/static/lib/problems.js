/** What went wrong, in words for people, and the way out. The daemon's own words are told beside them. */

export class Problem extends Error {
  /** @param {number} status @param {{ code?: string, detail?: string, request_id?: string }} told */
  constructor(status, told) {
    super(told.detail || "the daemon did not say why")
    this.name = "Problem"
    this.status = status
    this.code = told.code || `http-${status}`
    this.requestId = told.request_id || ""
  }
}

/** The daemon was not reached. */
export class Unreachable extends Error {}

/** By the problem's code, then by its status: a title, and what to do. */
const WORDS = {
  unreachable: ["The daemon does not answer", "Look whether it runs, and whether this machine is connected. This page tries again when you ask it to."],
  unauthenticated: ["This token is not good here", "Tokens end, and can be revoked. Ask an admin for a new one, and sign in with it."],
  forbidden: ["Your token may not do this", "It wants a larger role, which the daemon names below. An admin makes a token of it: casd token create NAME --role ROLE --namespace NAMESPACE."],
  "invalid-input": ["The daemon does not take this", "It says why below. Change it, and try again."],
  "namespace-not-found": ["There is no such namespace for you", "It does not exist, or your token is not of it. An admin can make a token for it."],
  "name-not-found": ["There is nothing under this name", "It was purged, renamed, or never stored. Its folder shows what is there."],
  "blob-not-found": ["There is no such blob", "It expired, was deleted, or belongs to a namespace that your token is not of."],
  "storage-full": ["The disk is full", "Reading and deleting go on. An admin frees space: delete what is not needed, then collect garbage."],
  "quota-exceeded": ["The namespace's quota is used up", "Delete what is not needed, or ask an admin to raise the quota."],
  protected: ["This name is protected", "Nothing of it can be deleted until its protection is lifted."],
  overloaded: ["The daemon is busy", "Try again in a moment."],
  "rate-limited": ["Too many requests", "Your token has used up its rate for now. Try again in a moment."],
  "upload-busy": ["Another client sends this upload", "Let it finish, or stop it there first."],
  "too-many-uploads": ["Too many unfinished uploads", "Finish or drop some of them first."],
  "payload-damaged": ["These bytes are damaged on the disk", "The daemon put them away. Storing the same bytes again heals them: drop the file here."],
  "payload-missing": ["These bytes are missing on the disk", "Storing the same bytes again heals them: drop the file here."],
  "too-large": ["This is larger than the daemon takes", "An admin can raise [limits] max_body_bytes."],
  conflict: ["This was changed meanwhile", "Load the page again, and look at what it is now."],
  "precondition-failed": ["This was changed meanwhile", "Load the page again, and look at what it is now."],
  404: ["There is nothing here", "The address may be wrong, or what it names is gone."],
  500: ["The daemon failed", "Its log has more under the number of this request."],
  503: ["The daemon is busy", "Try again in a moment."],
}

/**
 * @param {unknown} error
 * @returns {{ title: string, wayOut: string, detail: string, requestId: string }}
 */
export function explain(error) {
  const problem = error instanceof Problem ? error : null
  const key = error instanceof Unreachable ? "unreachable" : problem && problem.code in WORDS ? problem.code : String(problem?.status)
  const [title, wayOut] = WORDS[key] ?? ["That did not work", "Load the page again; if it stays so, tell an admin what stands here."]
  const detail = problem ? problem.message : error instanceof Unreachable ? "" : String(error)
  return { title, wayOut, detail, requestId: problem?.requestId ?? "" }
}
