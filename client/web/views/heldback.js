// What the engine nearly named, and why it did not: the strongest candidates that were held back. Knows reasons; nothing of
// pictures.

import { percent, words } from '../format.js'
import { rulesOf } from '../state.js'

const SHOWN = 3

/** The candidates as [{label, family, text}], the strongest first. */
export function candidates(state) {
  return state.suppressed.slice(0, SHOWN).map(({ label, score, why }) => {
    const { rules } = rulesOf(state, label).wanted
    const reasons = { muted: 'muted', refractory: 'it has just ended', below_threshold: `below its ${percent(rules.on)}` }
    return { label, family: familyOf(state, label), text: `${percent(score)}, ${reasons[why]}` }
  })
}

function familyOf(state, label) {
  return state.model?.labels.find((one) => one.name === label)?.family ?? ''
}

export function mount(root) {
  const list = root.querySelector('ul')
  let last = null

  return {
    update(state) {
      if (last === state.suppressed) return
      last = state.suppressed
      const shown = candidates(state)
      root.dataset.empty = shown.length === 0
      while (list.children.length < SHOWN) {
        const row = document.createElement('li')
        row.append(document.createElement('span'), document.createElement('small'))
        list.append(row)
      }
      ;[...list.children].forEach((row, i) => {
        const one = shown[i]
        row.dataset.family = one?.family ?? ''
        row.children[0].textContent = one ? words(one.label) : ''
        row.children[1].textContent = one?.text ?? ''
      })
    },
  }
}
