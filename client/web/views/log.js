// The list of events, newest first: when, which, how long, how sure. Knows events; nothing of lanes or clocks.

import { isOpen, toJson } from '../eventlog.js'
import { csv, download } from '../exports.js'
import { duration, percent, position, timeOfDay, words } from '../format.js'

const ROWS = 100 // shown; the copy and the download hold all that are kept

/** What happened to an event, in a few words. */
export function outcome(event) {
  if (isOpen(event)) return 'sounding'
  if (event.phase === 'retract') return 'taken back'
  if (event.phase === 'lost') return event.reason
  return duration(event.offset_ms - event.onset_ms)
}

/** The moment of an event: time of day for a live one, position for one in a file. */
export function moment(event) {
  return event.utc_onset ? timeOfDay(event.utc_onset) : position(event.onset_ms)
}

export function mount(root, { onClear, onNotice }) {
  const list = root.querySelector('.log-list')
  const empty = root.querySelector('.log-empty')
  const buttons = ['#copy', '#download', '#csv', '#clear'].map((id) => root.querySelector(id))
  const rows = new Map() // event id -> {row, event}
  let events = []
  let families = new Map()
  let model = null

  buttons[0].addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(toJson(events))
      onNotice(`${events.length} events are on the clipboard.`)
    } catch {
      onNotice('This browser does not let the page write to the clipboard. Use Download.')
    }
  })
  buttons[1].addEventListener('click', () => download(toJson(events), named('json'), 'application/json'))
  buttons[2].addEventListener('click', () => download(csv([...events].reverse()), named('csv'), 'text/csv'))
  buttons[3].addEventListener('click', onClear)

  function draw(event) {
    const row = document.createElement('li')
    row.dataset.family = families.get(event.label) ?? ''
    row.dataset.label = event.label
    for (const part of ['time', 'name', 'outcome', 'peak']) {
      const span = document.createElement('span')
      span.className = `log-${part}`
      row.append(span)
    }
    fill(row, event)
    return row
  }

  function fill(row, event) {
    const [time, name, result, peak] = row.children
    row.dataset.phase = event.phase
    time.textContent = moment(event)
    time.title = event.utc_onset
      ? `${new Date(event.utc_onset).toLocaleString()}, ${position(event.onset_ms)} into the session`
      : ''
    name.textContent = words(event.label)
    result.textContent = outcome(event)
    result.title = event.reason ?? ''
    peak.textContent = percent(event.peak)
  }

  return {
    update(state) {
      const all = state.events
      if (all === events && model === state.model) return
      if (model !== state.model) {
        model = state.model
        families = new Map(model.labels.map((label) => [label.name, label.family]))
        for (const [id, { row }] of rows) {
          row.remove()
          rows.delete(id)
        }
      }
      events = all
      const shown = events.slice(0, ROWS)
      const ids = new Set(shown.map((event) => event.event_id))
      for (const [id, { row }] of rows) {
        if (ids.has(id)) continue
        row.remove()
        rows.delete(id)
      }
      let next = list.firstChild
      for (const event of shown) {
        const known = rows.get(event.event_id)
        const row = known?.row ?? draw(event)
        if (known && known.event !== event) fill(row, event)
        if (row === next) next = next.nextSibling
        else list.insertBefore(row, next)
        rows.set(event.event_id, { row, event })
      }
      empty.hidden = events.length > 0
      for (const button of buttons) button.disabled = events.length === 0
    },
  }
}

function named(extension) {
  return `spiccato-events-${new Date().toISOString().slice(0, 19).replaceAll(':', '')}.${extension}`
}
