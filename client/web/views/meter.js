// The level meter: RMS as a bar, the peak as a line, its hold as a mark, clipping as a lamp. Knows dBFS; nothing of time.

import { dbfs, signed } from '../format.js'

const FLOOR_DBFS = -72
const MARKS_DBFS = [-60, -48, -36, -24, -12, 0]

/** How far along the scale a level lies, 0 to 1. Silence, null, is 0. */
export function along(level) {
  return level === null ? 0 : Math.min(1, Math.max(0, 1 - level / FLOOR_DBFS))
}

export function mount(root, { onClearClips }) {
  const value = root.querySelector('.meter-value')
  const bar = root.querySelector('.meter-bar')
  const clip = root.querySelector('.clip')
  const bars = {
    rms: root.querySelector('.meter-rms'),
    peak: root.querySelector('.meter-peak'),
    hold: root.querySelector('.meter-hold'),
  }
  root.querySelector('.meter-scale').append(
    ...MARKS_DBFS.map((mark) => {
      const span = document.createElement('span')
      span.textContent = signed(mark)
      span.style.left = `${100 * along(mark)}%`
      return span
    }),
  )
  clip.addEventListener('click', onClearClips)
  let shown

  return {
    update(state) {
      clip.hidden = state.clips === 0
      if (shown === state.level) return
      shown = state.level
      const { rmsDbfs, peakDbfs, holdDbfs } = state.level ?? { rmsDbfs: null, peakDbfs: null, holdDbfs: null }
      value.textContent = state.level ? dbfs(rmsDbfs) : 'no sound yet'
      value.title = state.level ? `Peak ${dbfs(peakDbfs)}` : ''
      bar.setAttribute('aria-valuenow', rmsDbfs ?? FLOOR_DBFS)
      bar.setAttribute('aria-valuetext', value.textContent)
      bars.rms.style.transform = `scaleX(${along(rmsDbfs)})`
      bars.peak.style.transform = `scaleX(${along(peakDbfs)})`
      bars.hold.style.transform = `translateX(${100 * along(holdDbfs)}%)`
      bars.hold.hidden = holdDbfs === null
    },
  }
}
