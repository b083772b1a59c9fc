// The spectrogram: time to the right, frequency upwards, log magnitude as colour; the bands (mel) that the engine hears,
// or a linear spectrum. Knows levels; nothing of labels.

import { hertz } from '../format.js'
import { colour, isLight } from './canvas.js'
import { axisMarks, heat } from './heat.js'
import { Plot } from './plot.js'
import { Reel } from './reel.js'

const MARKS_HZ = { mel: [100, 200, 500, 1000, 2000, 5000], linear: [1000, 2000, 3000, 4000, 5000, 6000, 7000] }
const APART = 0.11 // of the height: below that, two marks would touch

export function mount(root, { again, onScale }) {
  const axis = root.querySelector('.axis')
  const scales = [...root.querySelectorAll('input[name=scale]')]
  for (const radio of scales) radio.addEventListener('change', () => onScale(radio.value))
  let ground = ''
  let colours = null
  let history = null
  let scale = null
  let marked = null // what the axis shows
  let column = null // ImageData of one frame
  let words = null // the same memory, a word for each row
  const reel = new Reel((context, x, k) => {
    if (column?.height !== reel.rows) {
      column = context.createImageData(1, reel.rows)
      words = new Uint32Array(column.data.buffer)
    }
    const levels = scale === 'linear' ? history.linear : history.levels
    const at = (k % history.capacity) * reel.rows
    for (let i = 0; i < reel.rows; i++) words[reel.rows - 1 - i] = colours[levels[at + i]]
    context.putImageData(column, x, 0)
  })
  const plot = new Plot(
    root.querySelector('canvas'),
    again,
    (context, width, height, scene) => {
      context.fillStyle = ground
      context.fillRect(0, 0, width, height)
      context.imageSmoothingQuality = 'medium'
      if (scene.history && reel.rows) reel.show(context, scene.history, scene.head, scene.frames, width, height)
    },
    () => {
      colours = heat(isLight() ? 'light' : 'dark')
      ground = colour(root, '--ground')
      reel.stale()
    },
  )

  function markAxis(centresHz) {
    axis.replaceChildren(
      ...axisMarks(MARKS_HZ[scale], centresHz, APART).map(({ hz, at }) => {
        const mark = document.createElement('span')
        mark.textContent = hertz(hz)
        mark.style.bottom = `${100 * at}%`
        return mark
      }),
    )
  }

  return {
    update(state) {
      if (scale !== state.scale) {
        scale = state.scale
        for (const radio of scales) radio.checked = radio.value === scale
        reel.stale()
        plot.shown = null
      }
      const centres = scale === 'mel' ? state.bandsHz : linearHz(state.session?.shape)
      const key = `${scale} ${centres.length}`
      if (marked !== key) markAxis(centres, (marked = key))
    },
    draw(scene) {
      history = scene.history
      if (history) reel.rows = scale === 'linear' ? history.shape.linear : history.shape.bands
      plot.update(scene, scale)
    },
  }
}

/** Centres of the linear bins; a plausible row before the first session tells. */
function linearHz(shape) {
  const [bins, hz] = shape?.linear ? [shape.linear, shape.linearHz] : [256, 31.25]
  return Array.from({ length: bins }, (_, i) => i * hz)
}
