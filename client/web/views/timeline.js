// A file as lanes: one for each instrument that was named in it, a bar for each time it sounds, and a cursor that goes
// with the sound. Knows the answer to an upload; nothing of live streams.

import { byLabel } from '../eventlog.js'
import { bytes, duration, list as listed, position, words } from '../format.js'
import { soundingNow } from '../state.js'
import { marks } from './ticks.js'

export function mount(root, { onSeek }) {
  const drop = root.querySelector('.drop')
  const dropText = root.querySelector('.drop-text')
  const progress = root.querySelector('progress')
  const file = root.querySelector('.file')
  const name = root.querySelector('.file-name')
  const where = root.querySelector('.file-position')
  const seek = root.querySelector('.seek')
  const ticks = root.querySelector('.ticks')
  const tracks = root.querySelector('.tracks')
  const list = root.querySelector('.lanes')
  const cursor = root.querySelector('.cursor')
  let shown = null // the upload that stands
  let model = null
  let formats = null
  let rows = new Map()
  let totalMs = 1

  seek.addEventListener('input', () => onSeek(Number(seek.value)))
  tracks.addEventListener('click', (event) => {
    const area = cursor.parentElement.getBoundingClientRect()
    const share = (event.clientX - area.left) / area.width
    if (share >= 0 && share <= 1) onSeek(share * totalMs)
  })

  function build({ events, summary, file: { name: title } }, families) {
    totalMs = Math.max(1, summary.audio_ms)
    const final = byLabel(events.filter((event) => event.phase === 'offset'))
    name.textContent = title
    seek.max = totalMs
    ticks.replaceChildren(
      ...marks(totalMs).map((ms) => {
        const tick = document.createElement('span')
        tick.textContent = position(ms).replace(/\.0$/, '')
        tick.style.left = `${(100 * ms) / totalMs}%`
        return tick
      }),
    )
    rows = new Map(summary.labels.map((label) => [label.label, track(label, final.get(label.label) ?? [], families)]))
    list.replaceChildren(...rows.values())
  }

  function track({ label, seconds, events: count }, events, families) {
    const row = document.createElement('li')
    row.className = 'row lane'
    row.dataset.family = families.get(label) ?? ''
    row.dataset.label = label
    const [title, bars, total] = ['span', 'div', 'span'].map((tag) => document.createElement(tag))
    title.className = 'lane-name'
    title.textContent = words(label)
    bars.className = 'bars'
    total.className = 'lane-score'
    total.textContent = seconds < 60 ? `${seconds.toFixed(1)} s` : duration(1000 * seconds)
    total.title = `${count} ${count === 1 ? 'event' : 'events'}`
    for (const event of events) {
      const bar = document.createElement('i')
      bar.style.left = `${(100 * event.onset_ms) / totalMs}%`
      bar.style.width = `${(100 * (event.offset_ms - event.onset_ms)) / totalMs}%`
      bar.title = `${words(label)}, ${position(event.onset_ms)} to ${position(event.offset_ms)}`
      bars.append(bar)
    }
    row.append(title, bars, total)
    return row
  }

  return {
    update(state) {
      const { upload, player } = state
      if (shown !== upload || model !== state.model || formats !== state.formats) {
        formats = state.formats
        shown = upload
        model = state.model
        drop.hidden = upload.phase === 'done'
        file.hidden = upload.phase !== 'done'
        progress.hidden = upload.phase !== 'sending' && upload.phase !== 'hearing'
        if (upload.phase === 'sending') progress.value = upload.share
        else progress.removeAttribute('value')
        dropText.textContent = sentence(upload, state.formats)
        drop.dataset.phase = upload.phase
        if (upload.phase === 'done') build(upload, new Map(model?.labels.map((label) => [label.name, label.family])))
      }
      if (upload.phase !== 'done') return
      const text = player.problem ?? `${position(player.positionMs)} of ${position(totalMs)}`
      if (where.textContent !== text) where.textContent = text
      cursor.style.transform = `translateX(${(100 * Math.min(player.positionMs, totalMs)) / totalMs}%)`
      if (document.activeElement !== seek || player.playing) seek.value = player.positionMs
      seek.setAttribute('aria-valuetext', position(player.positionMs))
      const on = soundingNow(state).map((one) => one.label)
      for (const [label, row] of rows) {
        const lit = String(on.includes(label))
        if (row.dataset.on !== lit) row.dataset.on = lit
      }
    },
  }
}

/** What stands in the place where a file is dropped. */
export function sentence(upload, formats) {
  switch (upload.phase) {
    case 'sending':
      return `Sending ${upload.file.name} (${bytes(upload.file.size)}) …`
    case 'hearing':
      return `Hearing ${upload.file.name} …`
    case 'failed':
      return upload.problem
    default:
      return `Drop a recording here, or choose one: ${listed(formats.map((format) => format.toUpperCase()))}.`
  }
}
