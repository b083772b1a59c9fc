// A lane for each instrument: its name, lit while it sounds, its membrane between its thresholds, its past events as bars.
// Families fold. A lane's name opens its thresholds. Where two models are compared each lane has a second strip under the first.
// Knows events and rules; nothing of the other pictures.

import { byLabel, isOpen } from '../eventlog.js'
import { percent, words } from '../format.js'
import { rulesOf, soundingNow } from '../state.js'
import { differences, together } from '../versus.js'
import { arrange } from './order.js'
import { Strip } from './strip.js'
import { tuning } from './tuning.js'

const NONE = []
const NOTHING = { history: null, head: 0, frames: 1 }

export function mount(root, { onOrder, onFold, onRules, onDetect, again }) {
  const list = root.querySelector('.lanes')
  const order = root.querySelector('#order')
  order.addEventListener('change', () => onOrder(order.value))
  let lanes = new Map() // label -> {row, name, score, strip, panel, index, rules, events}
  let heads = new Map() // family -> {row, button, inside}
  let labels = NONE // of the model, or of both
  let shown = {} // the models of these lanes
  let arranged = '' // the order that stands, as one string
  let open = null // label whose thresholds are open
  let last = null // the state that the rows show

  function build(model, second) {
    labels = together(model.labels, second?.labels ?? NONE)
    open = null
    list.dataset.twins = second !== null
    heads = new Map()
    lanes = new Map(
      labels.map((label) => {
        const row = document.createElement('li')
        row.className = 'row lane'
        row.dataset.family = label.family
        row.dataset.label = label.name
        const name = document.createElement('button')
        name.type = 'button'
        name.className = 'lane-name'
        name.textContent = words(label.name)
        name.setAttribute('aria-expanded', 'false')
        name.setAttribute('aria-controls', `tune-${label.name}`)
        name.addEventListener('click', () => toggle(label.name))
        const canvas = document.createElement('canvas')
        canvas.setAttribute('aria-hidden', 'true')
        const score = document.createElement('span')
        score.className = 'lane-score'
        row.append(name, canvas, score)
        const twin = second && { index: label.theirs, events: NONE, ...beneath(row, label.theirs) }
        name.disabled = label.ours < 0 // its thresholds are not ours to move
        const panel = tuning(label, {
          onRules: (rules) => onRules(label.name, rules),
          onDetect: (detected) => onDetect(label.name, detected),
        })
        panel.root.hidden = true
        return [label.name, { row, name, score, panel, strip: new Strip(canvas, label.ours, again), index: label.ours, events: NONE, twin }]
      }),
    )
  }

  /** The strip of the second model, under the first one's. */
  function beneath(row, index) {
    const [canvas, score] = ['canvas', 'span'].map((tag) => document.createElement(tag))
    canvas.className = 'twin'
    canvas.setAttribute('aria-hidden', 'true')
    score.className = 'lane-score'
    row.append(canvas, score)
    return { strip: new Strip(canvas, index, again), score }
  }

  function toggle(label) {
    for (const [name, { name: button, panel, row }] of lanes) {
      const opened = name === label && open !== label
      button.setAttribute('aria-expanded', opened)
      panel.root.hidden = !opened
      if (opened) row.after(panel.root)
      else panel.root.remove()
    }
    open = open === label ? null : label
    if (open) fill(open, last) // at once: what is not filled yet could be moved already
  }

  function fill(label, state) {
    const { wanted, pending } = rulesOf(state, label)
    lanes.get(label).panel.update({ ...wanted, pending })
  }

  function head(family, folded) {
    if (!heads.has(family)) {
      const row = document.createElement('li')
      row.className = 'family'
      row.dataset.family = family
      const button = document.createElement('button')
      button.type = 'button'
      button.addEventListener('click', () => onFold(`family ${family}`))
      const inside = document.createElement('span')
      inside.className = 'family-inside'
      button.append(words(family), inside)
      row.append(button)
      heads.set(family, { row, button, inside })
    }
    const { row, button } = heads.get(family)
    button.setAttribute('aria-expanded', !folded)
    return row
  }

  /** Put the rows, and the families' names between them, into the order asked for; only when it has changed. */
  function place(state, on) {
    const wanted = arrange(labels, state.order, on).map((group) => ({
      ...group,
      folded: group.family !== null && state.folded.includes(`family ${group.family}`),
    }))
    const key = JSON.stringify(wanted)
    if (key === arranged) return
    arranged = key
    const focused = document.activeElement
    list.replaceChildren(
      ...wanted.flatMap(({ family, names, folded }) => {
        const rows = folded
          ? []
          : names.flatMap((name) => [lanes.get(name).row, ...(open === name ? [lanes.get(name).panel.root] : [])])
        return family ? [head(family, folded), ...rows] : rows
      }),
    )
    if (list.contains(focused)) focused.focus() // moving a row takes the focus from it
  }

  return {
    update(state) {
      if (!state.model) return
      const second = state.comparing ? state.second : null
      if (shown.model !== state.model || shown.second !== second) {
        shown = { model: state.model, second }
        arranged = ''
        build(state.model, second)
      }
      if (last === state) return
      last = state
      const on = soundingNow(state).map((one) => one.label)
      place(state, on)
      const events = byLabel(state.session ? ours(state) : NONE)
      const theirs = byLabel(state.other?.session ? ours(state.other) : NONE)
      for (const [label, lane] of lanes) {
        const { wanted, engine } = rulesOf(state, label)
        const lit = String(on.includes(label))
        if (lane.row.dataset.on !== lit) lane.row.dataset.on = lit
        const off = String(!engine)
        if (lane.row.dataset.off !== off) lane.row.dataset.off = off
        lane.rules = same(lane.rules, lane.index >= 0 && wanted.detected ? wanted.rules : null)
        lane.events = sameEvents(lane.events, events.get(label) ?? NONE)
        if (lane.twin) follow(lane, label, state.other, theirs.get(label) ?? NONE)
        const why = state.suppressed.find((one) => one.label === label)
        lane.row.title = explained(label, wanted, why)
        lane.why = why?.why === 'below_threshold'
      }
      if (open) fill(open, state)
      for (const [family, { inside }] of heads) {
        const names = on.filter((label) => lanes.get(label)?.row.dataset.family === family).map(words)
        const text = state.folded.includes(`family ${family}`) ? names.join(', ') : ''
        if (inside.textContent !== text) inside.textContent = text
      }
    },

    draw(scene) {
      for (const [, lane] of lanes) {
        const { twin } = lane
        if (lane.row.isConnected) {
          lane.strip.draw(scene, lane.events, lane.rules)
          twin?.strip.draw(scene.beside ?? NOTHING, twin.events, twin.rules, split(lane, scene))
        }
        if (!scene.ticking) continue
        put(lane.score, scored(lane, scene.history))
        if (twin) put(twin.score, scene.beside ? scored(twin, scene.beside.history) : '')
        const almost = String(lane.why)
        if (lane.row.dataset.almost !== almost) lane.row.dataset.almost = almost
      }
    },
  }
}

function follow({ row, twin }, label, other, events) {
  twin.events = sameEvents(twin.events, events)
  twin.rules = twin.index >= 0 && other?.detect ? same(twin.rules, rulesOf(other, label).wanted.rules) : null
  const apart = String((row.dataset.on === 'true') !== events.some(isOpen))
  if (row.dataset.apart !== apart) row.dataset.apart = apart
}

/** Where the two models differ, up to the picture's right edge; the very same list while nothing has changed. */
function split(lane, { history, head, beside, ticking }) {
  if (!beside) return NONE
  if (ticking || lane.split === undefined)
    lane.split = differences(lane.events, lane.twin.events, history.sampleAt(head))
  return lane.split
}

function scored({ index, rules }, history) {
  if (index < 0) return '–'
  return !rules ? 'off' : history ? percent(history.scoreNow(index)) : ''
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text
}

/** Why this label is or is not named now, in a sentence. */
export function explained(label, { rules, detected }, suppressed) {
  if (!detected) return `${words(label)}: not listened for`
  const base = `${words(label)}: on from ${percent(rules.on)}, off under ${percent(rules.off)}`
  return suppressed ? `${base}; held back at ${percent(suppressed.score)}` : base
}

/** The events of the session that the history belongs to: others have another clock. */
function ours(state) {
  return state.events.filter((event) => event.session === state.session.id && event.phase !== 'retract')
}

function same(before, rules) {
  return before && rules && before.on === rules.on && before.off === rules.off ? before : rules
}

function sameEvents(before, events) {
  return before.length === events.length && before.every((event, i) => event === events[i]) ? before : events
}
