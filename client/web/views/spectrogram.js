// The spectrogram: time to the right, frequency upwards, the newest sound at the right edge. Knows the history's bands;
// nothing of labels. Each frame is painted once, into a ring one pixel wide for each frame; a picture is two copies of it.

import { hertz } from '../format.js'
import { colour, onScheme, pace, sharp } from './canvas.js'
import { axisMarks, heat } from './heat.js'

const MARKS_HZ = [100, 200, 500, 1000, 2000, 5000]
const APART = 0.11 // of the height: below that, two marks would touch

export function mount(root, { again }) {
  const canvas = root.querySelector('canvas')
  const axis = root.querySelector('.axis')
  const ring = document.createElement('canvas')
  const ink = ring.getContext('2d')
  const interval = pace()
  let ground = ''
  let column = null // ImageData of one frame
  let words = null // the same memory, a word for each band
  let colours = null
  let drawn = null // {history, written} that the ring shows
  let shown = null // the same, on the canvas
  let shownAt = 0
  let marked = null // the band centres that the axis shows
  const context = sharp(canvas, () => {
    shown = null
    again()
  })
  const repaint = () => {
    colours = heat(matchMedia('(prefers-color-scheme: light)').matches ? 'light' : 'dark')
    ground = colour(root, '--ground')
    drawn = shown = null
    again()
  }
  onScheme(repaint)
  repaint()

  function paintRing(history) {
    if (drawn?.history !== history) {
      ring.width = history.capacity
      ring.height = history.bands
      column = ink.createImageData(1, history.bands)
      words = new Uint32Array(column.data.buffer)
      drawn = { history, written: 0 }
    }
    const [from, to] = history.since(drawn.written)
    for (let k = from; k < to; k++) {
      const row = k % history.capacity
      for (let band = 0; band < history.bands; band++) {
        words[history.bands - 1 - band] = colours[history.levels[row * history.bands + band]]
      }
      ink.putImageData(column, row, 0)
    }
    drawn.written = to
  }

  function show(history) {
    const { width, height } = canvas
    context.fillStyle = ground
    context.fillRect(0, 0, width, height)
    if (!history) return
    paintRing(history)
    const step = width / history.capacity
    const count = Math.min(history.written, history.capacity)
    const first = (history.written - count) % history.capacity
    const head = Math.min(count, history.capacity - first) // frames before the ring's edge
    const left = width - count * step
    context.imageSmoothingQuality = 'medium'
    if (head > 0) context.drawImage(ring, first, 0, head, history.bands, left, 0, head * step, height)
    if (count > head) {
      context.drawImage(ring, 0, 0, count - head, history.bands, left + head * step, 0, (count - head) * step, height)
    }
  }

  function markAxis(centresHz) {
    axis.replaceChildren(
      ...axisMarks(MARKS_HZ, centresHz, APART).map(({ hz, at }) => {
        const mark = document.createElement('span')
        mark.textContent = hertz(hz)
        mark.style.bottom = `${100 * at}%`
        return mark
      }),
    )
  }

  return {
    update(state, history) {
      if (marked !== state.bandsHz) markAxis((marked = state.bandsHz))
      const written = history ? history.written : 0
      if (shown && shown.history === history && shown.written === written) return
      const now = performance.now()
      if (shown && shown.history === history && now - shownAt < interval()) return
      show(history)
      shown = { history, written }
      shownAt = now
    },
  }
}
