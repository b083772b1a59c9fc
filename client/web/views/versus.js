// The row over the lanes that tells which two models stand side by side, and where they differ. Knows events and samples.

import { byLabel } from '../eventlog.js'
import { list, percent, words } from '../format.js'
import { soundingNow } from '../state.js'
import { differences, taken, together } from '../versus.js'

/** Both models, by what tells them apart. */
export function names(ours, theirs) {
  const mark = ({ id, sha256 }) => (ours.id === theirs.id ? `${id} (${sha256.slice(0, 6)})` : id)
  return [mark(ours), mark(theirs)]
}

/** What differs now, in a sentence; empty where nothing does. */
export function told(above, below) {
  const only = (one, other, where) => {
    const labels = one.filter((label) => !other.includes(label)).map(words)
    return labels.length > 0 ? [`${list(labels)} only ${where}`] : []
  }
  return [...only(above, below, 'above'), ...only(below, above, 'below')].join(', ')
}

/** Of the time in which a label sounds by either model, the share in which by one alone; null where nothing sounds. */
export function disagreement(labels, ours, theirs, since, end) {
  let [apart, any] = [0, 0]
  for (const { name } of labels) {
    const [a, b] = [ours.get(name) ?? [], theirs.get(name) ?? []]
    const split = taken(differences(a, b, end), since, end)
    const each = taken(differences(a, [], end), since, end) + taken(differences(b, [], end), since, end)
    apart += split
    any += (each + split) / 2 // a union is half of both and their difference
  }
  return any > 0 ? apart / any : null
}

export function mount(root, { onCompare }) {
  const [box, text, figure] = ['input', 'p', '.figure'].map((selector) => root.querySelector(selector))
  let state = null
  box.addEventListener('change', () => onCompare(box.checked))

  function sentence() {
    const { second, comparing, other, input, model } = state
    if (input === 'server') return 'Two models can be compared on what this browser’s microphone hears.'
    const [above, below] = names(model, second)
    if (!comparing) return `${above} with ${below}, on the same samples`
    const differs = other?.session
      ? told(...[state, other].map((one) => soundingNow(one).map(({ label }) => label)))
      : ''
    return `above ${above}, below ${below}${differs ? `: ${differs}` : ''}`
  }

  return {
    update(next) {
      if (state === next || !next.model) return
      state = next
      root.hidden = !state.second
      if (!state.second) return
      box.checked = state.comparing
      box.disabled = state.input === 'server'
      put(text, sentence())
    },
    draw({ beside, history, head, frames, ticking }) {
      if (!ticking || !state?.second) return
      let share = null
      if (beside && state.session && state.other?.session) {
        const end = history.sampleAt(head)
        const events = [state, state.other].map((one) => byLabel(ofSession(one)))
        const labels = together(state.model.labels, state.second.labels)
        share = disagreement(labels, ...events, end - frames * history.samplesPerFrame, end)
      }
      put(figure, share === null ? '' : `≠ ${percent(share)}`)
      figure.title = share === null ? '' : 'Of the time that is shown and named by either model, the share in which they differ'
    },
  }
}

/** The events of the session that runs, taken back ones left out. */
function ofSession({ events, session }) {
  return events.filter((event) => event.session === session.id && event.phase !== 'retract')
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text
}
