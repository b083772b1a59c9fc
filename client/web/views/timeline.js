// An open file: its waveform, its spectrogram and a lane for each label, all of the same piece of time; zoom, play, a cursor,
// downloads. Knows one answer to an upload; nothing of live streams.

import { byLabel, soundingAt } from '../eventlog.js'
import { FORMS } from '../exports.js'
import { duration, list as listed, position, words } from '../format.js'
import { Soundprint } from './soundprint.js'
import { marks } from './ticks.js'

const LEAST_MS = 100 // shown at the closest
const CLOSER = 2 // for each step of the zoom

/** The piece of time after a zoom by `factor` about `centreMs`, inside the whole: [from, to]. */
export function zoomed([from, to], factor, centreMs, totalMs) {
  const length = Math.min(totalMs, Math.max(Math.min(LEAST_MS, totalMs), (to - from) * factor))
  const share = (centreMs - from) / (to - from)
  const start = Math.min(totalMs - length, Math.max(0, centreMs - share * length))
  return [start, start + length]
}

export function mount(root, { soundOf, onSeek, onPlay, onExport }) {
  const part = (selector) => root.querySelector(selector)
  const [name, where, now] = ['.file-name', '.file-position', '.file-now'].map(part)
  const [seek, ticks, tracks, list, cursor, play] = ['.seek', '.ticks', '.tracks', '.lanes', '.cursor', '.play'].map(part)
  const print = new Soundprint(part('.file-wave'), part('.file-spectrum'))
  let shown = null // the file that stands
  let model = null
  let rows = new Map()
  let totalMs = 1
  let piece = [0, 1] // ms, shown
  let scale = 'mel'

  play.addEventListener('click', onPlay)
  seek.addEventListener('input', () => onSeek(Number(seek.value)))
  part('.closer').addEventListener('click', () => zoom(1 / CLOSER))
  part('.wider').addEventListener('click', () => zoom(CLOSER))
  part('.whole').addEventListener('click', () => show([0, totalMs]))
  for (const [form, { name: title }] of Object.entries(FORMS)) {
    const button = document.createElement('button')
    button.type = 'button'
    button.className = 'plain'
    button.textContent = title
    button.addEventListener('click', () => onExport(form))
    part('.exports').append(button)
  }
  tracks.addEventListener('click', (event) => {
    const at = momentOf(event)
    if (at !== null) onSeek(at)
  })
  tracks.addEventListener(
    'wheel',
    (event) => {
      const at = momentOf(event)
      if (at === null || !(event.ctrlKey || event.metaKey || event.altKey)) return // plain wheels scroll the page
      event.preventDefault()
      show(zoomed(piece, event.deltaY > 0 ? 1.25 : 0.8, at, totalMs))
    },
    { passive: false },
  )
  root.addEventListener('keydown', (event) => {
    if (event.target.matches('input[type=range], button') && event.key === ' ') return
    const act = { '+': () => zoom(1 / CLOSER), '-': () => zoom(CLOSER), 0: () => show([0, totalMs]), ' ': onPlay }
    if (!act[event.key] || event.ctrlKey || event.metaKey) return
    event.preventDefault()
    act[event.key]()
  })

  function momentOf(event) {
    const area = cursor.parentElement.getBoundingClientRect()
    const share = (event.clientX - area.left) / area.width
    return share >= 0 && share <= 1 ? piece[0] + share * (piece[1] - piece[0]) : null
  }

  function zoom(factor) {
    const at = Number(seek.value)
    const inside = at >= piece[0] && at <= piece[1]
    show(zoomed(piece, factor, inside ? at : (piece[0] + piece[1]) / 2, totalMs))
  }

  function show(next) {
    piece = next
    const [from, to] = piece
    ticks.replaceChildren(
      ...marks(to - from, from).map((ms) => {
        const tick = document.createElement('span')
        tick.textContent = position(ms).replace(/\.0$/, '')
        tick.style.left = `${(100 * (ms - from)) / (to - from)}%`
        return tick
      }),
    )
    for (const { bars } of rows.values()) {
      bars.style.width = `${(100 * totalMs) / (to - from)}%`
      bars.style.left = `${(-100 * from) / (to - from)}%`
    }
    paint()
  }

  function paint() {
    print.show(shown && soundOf(shown.id), piece, scale)
  }

  function build({ events, summary, name: title }, families) {
    totalMs = Math.max(1, summary.audio_ms)
    const final = byLabel(events.filter((event) => event.phase === 'offset'))
    name.textContent = title
    seek.max = totalMs
    rows = new Map(summary.labels.map((label) => [label.label, track(label, final.get(label.label) ?? [], families)]))
    list.replaceChildren(...[...rows.values()].map(({ row }) => row))
    show([0, totalMs])
  }

  function track({ label, seconds, events: count }, events, families) {
    const row = document.createElement('li')
    row.className = 'row lane'
    row.dataset.family = families.get(label) ?? ''
    row.dataset.label = label
    const [title, strip, total] = ['span', 'div', 'span'].map((tag) => document.createElement(tag))
    title.className = 'lane-name'
    title.textContent = words(label)
    strip.className = 'strip'
    const bars = document.createElement('div')
    bars.className = 'bars'
    strip.append(bars)
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
    row.append(title, strip, total)
    return { row, bars }
  }

  return {
    /** The sound of the open file has been decoded. */
    paint,

    update(state) {
      const file = state.files.find((one) => one.id === state.file)
      const open = file?.phase === 'done' ? file : null
      root.hidden = !open
      if (scale !== state.scale) {
        scale = state.scale
        paint()
      }
      if (!open) return (shown = null)
      if (shown !== open || model !== state.model) {
        shown = open
        model = state.model
        build(open, new Map(model?.labels.map((label) => [label.name, label.family])))
      }
      const { player } = state
      const at = player.positionMs
      if (player.playing && (at > piece[1] || at < piece[0])) {
        const length = piece[1] - piece[0]
        const from = Math.min(Math.max(0, totalMs - length), at)
        show([from, from + length])
      }
      put(where, player.problem ?? `${position(at)} of ${position(totalMs)}`)
      put(play, player.playing ? 'Pause' : 'Play')
      play.disabled = player.problem !== null
      const share = (Math.min(at, totalMs) - piece[0]) / (piece[1] - piece[0])
      cursor.hidden = share < 0 || share > 1
      cursor.style.transform = `translateX(${100 * share}%)`
      if (document.activeElement !== seek || player.playing) seek.value = at
      seek.setAttribute('aria-valuetext', position(at))
      const on = soundingAt(open.events, at).map((one) => one.label)
      put(now, on.length > 0 ? listed(on.map(words)) : open.events.length > 0 ? '' : 'Nothing in this file was named.')
      for (const [label, { row }] of rows) {
        const lit = String(on.includes(label))
        if (row.dataset.on !== lit) row.dataset.on = lit
      }
    },
  }
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text
}
