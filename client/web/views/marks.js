// The gaps: where sound was lost, a hatched piece over all pictures, with how much and why. Knows gaps and samples.

import { duration } from '../format.js'

const WHERE = { client: 'before it was sent', network: 'on the way', queue: 'because the server was behind' }

/** What a gap was, in a sentence. */
export function told({ samples, where, reason }, rateHz) {
  const what = samples > 0 ? `${duration((1000 * samples) / rateHz)} lost` : 'The sound was interrupted'
  return `${what} ${WHERE[where] ?? ''} (${reason.replaceAll('_', ' ')})`
}

export function mount(root) {
  let gaps = null
  let rateHz = 0
  const marks = new Map() // gap -> element

  return {
    update(state) {
      if (gaps === state.gaps) return
      gaps = state.gaps
      rateHz = state.session?.rateHz ?? 0
      for (const [gap, mark] of marks) {
        if (gaps.includes(gap)) continue
        mark.remove()
        marks.delete(gap)
      }
      for (const gap of gaps) {
        if (marks.has(gap)) continue
        const mark = document.createElement('i')
        mark.title = told(gap, rateHz)
        marks.set(gap, mark)
        root.append(mark)
      }
    },

    draw({ history, head, frames }) {
      for (const [gap, mark] of marks) {
        const place = history && placeOf(gap, history, head, frames)
        mark.hidden = !place
        if (!place) continue
        mark.style.left = `${100 * place.left}%`
        mark.style.width = `max(3px, ${100 * place.width}%)`
      }
    },
  }
}

/** Where a gap lies in the window, as shares of its width; null outside. */
export function placeOf({ from_sample: from, samples }, history, head, frames) {
  const x = (sample) =>
    1 - (head - history.written + (history.endSample - sample) / history.samplesPerFrame) / frames
  const left = Math.max(0, x(from))
  const right = Math.min(1, x(from + samples))
  return right < 0 || left >= 1 ? null : { left, width: Math.max(0, right - left) }
}
