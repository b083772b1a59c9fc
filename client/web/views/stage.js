// What sounds now, in large letters; otherwise, honestly, why there is nothing. Knows the state; draws no time.

import { percent, words } from '../format.js'
import { isListening, soundingNow } from '../state.js'

const SCORE_MS = 120 // how often a figure changes: faster cannot be read
const MUTED_MS = 4000 // real rooms are never silent for so long

/** The sentence that stands there while nothing sounds. */
export function quiet(state) {
  const { phase } = state.link
  if (state.input === 'microphone' && state.microphone.phase === 'asking')
    return 'Waiting for your leave to use the microphone …'
  if (!isListening(state)) return 'Press Listen and play something.'
  if (phase === 'waiting' || phase === 'connecting') return 'No connection: nothing is heard.'
  if (state.sourceState?.muted) return 'Muted: silence is heard in place of the sound.'
  if (!state.level) return 'Waiting for sound …'
  if (state.level.silentMs > MUTED_MS) return 'Digital silence: is the microphone muted?'
  return 'Listening.'
}

export function mount(root) {
  const sentence = root.querySelector('.stage-quiet')
  const names = root.querySelector('.stage-names')
  const items = new Map() // label -> {item, score}
  let scoredAt = 0

  function add(label, family) {
    const item = document.createElement('li')
    const name = document.createElement('strong')
    const score = document.createElement('small')
    item.dataset.family = family
    item.dataset.label = label
    name.textContent = words(label)
    item.append(name, score)
    names.append(item)
    items.set(label, { item, score })
  }

  return {
    update(state, history) {
      const now = soundingNow(state)
      const labels = state.model?.labels ?? []
      for (const [label, { item }] of items) {
        if (now.some((one) => one.label === label)) continue
        item.remove()
        items.delete(label)
      }
      const time = performance.now()
      const rescore = time - scoredAt >= SCORE_MS
      if (rescore) scoredAt = time
      for (const { label, event } of now) {
        const index = labels.findIndex((one) => one.name === label)
        const begun = !items.has(label)
        if (begun) add(label, labels[index]?.family ?? '')
        if (begun || rescore) {
          put(items.get(label).score, percent(history?.scoreNow(index) ?? event.score))
        }
      }
      root.dataset.crowd = now.length < 4 ? 'few' : now.length < 7 ? 'some' : 'many'
      sentence.hidden = now.length > 0
      put(sentence, quiet(state))
    },
  }
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text
}
