// The past: a day at a glance (labels by hours), its events, and the one that is looked at: its clip, and what it really was.
// Knows the history's answers; nothing of what sounds now.

import { duration, percent, timeOfDay, words } from '../format.js'
import { Soundprint } from './soundprint.js'

const FORMATS = { csv: 'CSV', ndjson: 'NDJSON', audacity: 'Audacity', jams: 'JAMS', svl: 'Sonic Visualiser' }
const NOTHING = ' ' // in the list of corrections: nothing that has a name

/** The glance as rows: [{label, hours: [{seconds, events}] of each bucket}], the longest first. */
export function rowsOf({ buckets, labels }) {
  return Object.keys(labels).map((label) => ({
    label,
    hours: buckets.map(({ labels: inside }) => inside[label] ?? { seconds: 0, events: 0 }),
  }))
}

/** How strong a cell is, 0 to 1: an hour that is full of it is 1, and a minute can still be seen. */
export function strength(seconds) {
  return seconds <= 0 ? 0 : Math.min(1, 0.3 + 0.7 * Math.sqrt(seconds / 3600))
}

export function mount(root, { onLook, onMore, onOpen, onCorrect, onExport, onStep }) {
  const part = (selector) => root.querySelector(selector)
  const [day, label, source] = ['.then-day', '.then-label', '.then-source'].map(part)
  const [glance, list, more, problem, hour] = ['.glance', '.then-list', '.then-more', '.then-problem', '.then-hour'].map(part)
  const [card, title, facts, right, audio, noClip] = [
    '.then-open', '.then-title', '.then-facts', '.then-right', 'audio', '.then-noclip',
  ].map(part) // prettier-ignore
  const print = new Soundprint(part('.then-wave'), part('.then-spectrum'))
  let shown = null
  let families = new Map()
  let url = null
  let scrolled = null // the day whose newest hour was brought into sight

  part('.then-before').addEventListener('click', () => onStep(-1))
  part('.then-after').addEventListener('click', () => onStep(1))
  day.addEventListener('change', () => day.value && onLook({ day: day.value, hour: null }))
  label.addEventListener('change', () => onLook({ label: label.value }))
  source.addEventListener('change', () => onLook({ source: source.value }))
  hour.addEventListener('click', () => onLook({ hour: null, label: '' }))
  more.addEventListener('click', onMore)
  right.addEventListener('change', () => onCorrect(right.value === NOTHING ? null : right.value))
  for (const [format, name] of Object.entries(FORMATS)) {
    const button = document.createElement('button')
    button.type = 'button'
    button.className = 'plain'
    button.textContent = name
    button.addEventListener('click', () => onExport(format))
    part('.exports').append(button)
  }

  function drawGlance({ glance: told, hour: chosen, label: wanted }) {
    glance.replaceChildren()
    if (!told) return
    const head = document.createElement('tr')
    const corner = document.createElement('th')
    corner.scope = 'col'
    corner.textContent = 'hour'
    head.append(corner)
    const hours = told.buckets.map(({ start }) => Number(start.slice(11, 13)))
    for (const one of hours) {
      const cell = document.createElement('th')
      cell.scope = 'col'
      cell.textContent = one
      head.append(cell)
    }
    glance.append(head)
    for (const row of rowsOf(told)) {
      const line = document.createElement('tr')
      line.dataset.family = families.get(row.label) ?? ''
      const name = document.createElement('th')
      name.scope = 'row'
      name.textContent = words(row.label)
      line.append(name)
      row.hours.forEach(({ seconds, events }, i) => {
        const cell = document.createElement('td')
        if (events > 0) {
          const button = document.createElement('button')
          const text = `${words(row.label)}, ${hours[i]} h: ${events} times, ${duration(1000 * seconds)}`
          button.type = 'button'
          button.title = text
          button.setAttribute('aria-label', text)
          button.setAttribute('aria-pressed', chosen === hours[i] && wanted === row.label)
          button.style.setProperty('--strength', strength(seconds))
          button.textContent = events > 999 ? '…' : events
          button.addEventListener('click', () => onLook({ hour: hours[i], label: row.label }))
          cell.append(button)
        }
        line.append(cell)
      })
      glance.append(line)
    }
  }

  function drawList({ events, open }) {
    list.replaceChildren(
      ...events.map((event) => {
        const row = document.createElement('li')
        row.dataset.family = families.get(event.label) ?? ''
        const button = document.createElement('button')
        button.type = 'button'
        button.setAttribute('aria-current', event.event_id === open)
        const corrected = event.correction ? `really ${words(event.correction.label ?? 'nothing')}` : ''
        const cells = [
          timeOfDay(event.utc_onset),
          words(event.label),
          event.duration_ms === null ? '' : duration(event.duration_ms),
          percent(event.peak),
          corrected || (event.clip ? '▶ clip' : ''),
        ]
        button.append(
          ...cells.map((text) => {
            const cell = document.createElement('span')
            cell.textContent = text
            return cell
          }),
        )
        button.addEventListener('click', () => onOpen(event.event_id))
        row.append(button)
        return row
      }),
    )
  }

  function drawOpen({ events, open }, labels) {
    const event = events.find((one) => one.event_id === open)
    card.hidden = !event
    if (!event) return
    card.dataset.family = families.get(event.label) ?? ''
    title.textContent = words(event.label)
    facts.textContent =
      `${new Date(event.utc_onset).toLocaleString()}, ${duration(event.duration_ms ?? 0)}, peak ${percent(event.peak)} ` +
      `over ${percent(event.threshold)}, from ${event.source}, ended by ${event.reason ?? 'nothing yet'}`
    noClip.hidden = event.clip !== null
    const options = [
      new Option('It was right', '', true),
      ...labels.filter((one) => one !== event.label).map((one) => new Option(words(one), one)),
      new Option('nothing that has a name', NOTHING),
    ]
    options[0].disabled = true
    right.replaceChildren(...options)
    right.value = event.correction ? (event.correction.label ?? NOTHING) : ''
  }

  return {
    /** The clip of the open event: its sound for the pictures, the file for the player; none yet: nulls. */
    sound(sound, blob) {
      if (url) URL.revokeObjectURL(url)
      url = blob && URL.createObjectURL(blob)
      audio.hidden = !blob
      if (blob) audio.src = url
      else audio.removeAttribute('src')
      print.show(sound, [0, sound?.ms ?? 1], 'mel')
    },

    update(state) {
      const { then, model } = state
      if (shown?.then === then && shown.model === model) return
      const before = shown?.then ?? {}
      const first = shown?.model !== model
      shown = { then, model }
      if (first) families = new Map(model?.labels.map((one) => [one.name, one.family]))
      const labels = model?.labels.map((one) => one.name) ?? []
      if (day.value !== then.day) day.value = then.day ?? ''
      choose(label, [['', 'all instruments'], ...labels.map((one) => [one, words(one)])], then.label)
      const sources = Object.keys(then.glance?.sources ?? {})
      choose(source, [['', 'all sources'], ...new Set([...sources, then.source].filter(Boolean))].map(pair), then.source)
      hour.hidden = then.hour === null
      hour.textContent = `${then.hour} to ${then.hour + 1} h ✕`
      if (first || before.glance !== then.glance || before.hour !== then.hour || before.label !== then.label)
        drawGlance(then)
      if (then.glance && before.glance !== then.glance && scrolled !== then.day) {
        scrolled = then.day
        const newest = Math.max(0, ...[...glance.querySelectorAll('button')].map((button) => button.parentElement.offsetLeft))
        glance.parentElement.scrollLeft = newest - glance.parentElement.clientWidth / 2
      }
      if (first || before.events !== then.events || before.open !== then.open) {
        const focused = [...list.querySelectorAll('button')].indexOf(document.activeElement)
        drawList(then)
        if (focused >= 0) list.querySelectorAll('button')[focused]?.focus()
        drawOpen(then, labels)
      }
      more.hidden = then.next === null
      problem.textContent =
        then.problem ?? (then.loading ? 'Looking …' : then.events.length === 0 ? 'Nothing was named in this time.' : '')
    },
  }
}

function pair(value) {
  return Array.isArray(value) ? value : [value, value]
}

function choose(select, wanted, value) {
  const key = JSON.stringify(wanted)
  if (select.dataset.key !== key) {
    select.dataset.key = key
    select.replaceChildren(...wanted.map(([id, name]) => new Option(name, id)))
  }
  select.value = value
}
