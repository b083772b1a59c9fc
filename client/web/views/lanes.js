// A lane for each instrument: its name, lit while it sounds, its evidence as a curve under the threshold that it must
// pass, and its past events as bars. Knows the history's evidence and the events; nothing of the spectrogram.

import { percent, words } from '../format.js'
import { byLabel, sounding } from '../eventlog.js'
import { pace } from './canvas.js'
import { arrange } from './order.js'
import { Strip } from './strip.js'

const SCORE_MS = 120 // how often the figures change: faster cannot be read

export function mount(root, { onOrder, again }) {
  const list = root.querySelector('.lanes')
  const order = root.querySelector('#order')
  order.addEventListener('change', () => onOrder(order.value))
  const interval = pace()
  let lanes = new Map() // label -> {row, score, strip, index}
  let model = null
  let arranged = '' // the order that stands, as one string
  let drawnAt = 0
  let scoredAt = 0

  function build(labels) {
    lanes = new Map(
      labels.map((label, index) => {
        const row = document.createElement('li')
        row.className = 'row lane'
        row.dataset.family = label.family
        row.dataset.label = label.name
        const name = document.createElement('span')
        name.className = 'lane-name'
        name.textContent = words(label.name)
        if (label.on !== null) row.title = `${words(label.name)}: on from ${percent(label.on)}`
        const canvas = document.createElement('canvas')
        canvas.setAttribute('aria-hidden', 'true')
        const score = document.createElement('span')
        score.className = 'lane-score'
        row.append(name, canvas, score)
        return [label.name, { row, score, strip: new Strip(canvas, label.on, again), index }]
      }),
    )
  }

  /** Put the rows, and the families' names between them, into the order asked for; only when it has changed. */
  function place(state, on) {
    const wanted = arrange(model.labels, state.order, on)
    const key = JSON.stringify(wanted)
    if (key === arranged) return
    arranged = key
    list.replaceChildren(
      ...wanted.flatMap(({ family, names }) => {
        const rows = names.map((name) => lanes.get(name).row)
        if (!family) return rows
        const head = document.createElement('li')
        head.className = 'family'
        head.dataset.family = family
        head.textContent = words(family)
        return [head, ...rows]
      }),
    )
  }

  return {
    update(state, history) {
      if (!state.model) return
      if (model !== state.model) {
        model = state.model
        arranged = ''
        build(model.labels)
      }
      const on = sounding(state.events).map((one) => one.label)
      place(state, on)
      for (const [name, { row }] of lanes) {
        const lit = String(on.includes(name))
        if (row.dataset.on !== lit) row.dataset.on = lit
      }
      const now = performance.now()
      if (now - drawnAt >= interval()) {
        const events = byLabel(state.session ? ours(state) : [])
        for (const [name, { strip, index }] of lanes) strip.draw(history, index, events.get(name) ?? [])
        drawnAt = now
      }
      if (now - scoredAt >= SCORE_MS) {
        for (const { score, index } of lanes.values()) {
          const text = history ? percent(history.scoreNow(index)) : ''
          if (score.textContent !== text) score.textContent = text
        }
        scoredAt = now
      }
    },
  }
}

/** The events of the session that the history belongs to: others have another clock. */
function ours(state) {
  return state.events.filter((event) => event.session === state.session.id && event.phase !== 'retract')
}
