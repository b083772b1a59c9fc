// What a screen reader says: who began and who ended, gathered over a while so that a fast passage is one sentence.

import { list, words } from '../format.js'
import { soundingNow } from '../state.js'

const GATHER_MS = 1200

/** The sentence for the way from one set of sounding labels to another; empty where they are the same. */
export function sentence(before, after) {
  const begun = after.filter((label) => !before.includes(label)).map(words)
  const ended = before.filter((label) => !after.includes(label)).map(words)
  const parts = []
  if (begun.length > 0) parts.push(`${list(begun)} on.`)
  if (ended.length > 0) parts.push(`${list(ended)} off.`)
  return parts.join(' ')
}

export function mount(root) {
  let said = []
  let now = []
  let timer = null

  function say() {
    timer = null
    const text = sentence(said, now)
    said = now
    if (text) root.textContent = text
  }

  return {
    update(state) {
      now = soundingNow(state).map((one) => one.label)
      if (timer === null && sentence(said, now)) timer = setTimeout(say, GATHER_MS)
    },
  }
}
