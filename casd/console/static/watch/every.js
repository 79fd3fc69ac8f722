/** What is shown stays true: it is asked for again from time to time, while somebody can see it. */

/**
 * Calls `act` every `seconds` until `signal` says so. One that fails is tried again at its next time, and told.
 * @param {number} seconds @param {AbortSignal} signal @param {() => Promise<unknown>} act
 * @param {(error: unknown | null) => void} tell the failure, and null once it works again
 */
export function every(seconds, signal, act, tell) {
  let isUnderWay = false
  const turn = async () => {
    if (document.hidden || isUnderWay) return
    isUnderWay = true
    try {
      await act()
      if (!signal.aborted) tell(null)
    } catch (error) {
      if (!signal.aborted) tell(error)
    }
    isUnderWay = false
  }
  const timer = setInterval(turn, seconds * 1000)
  document.addEventListener("visibilitychange", turn, { signal })
  signal.addEventListener("abort", () => clearInterval(timer))
}
