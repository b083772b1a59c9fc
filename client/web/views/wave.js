// The samples: least and greatest of each piece of a frame, mirrored about silence. Quiet sound is enlarged, and says so.

import { colour } from './canvas.js'
import { Plot } from './plot.js'
import { Reel } from './reel.js'

const FULL = 32767
const GAINS = [1, 2, 4, 8, 16, 32, 64] // enlargements

/** The greatest enlargement at which `peakDb` still fits. */
export function gainFor(peakDb) {
  const room = 10 ** (-peakDb / 20)
  return GAINS.findLast((gain) => gain <= room) ?? 1
}

export function mount(root, { again }) {
  const figure = root.querySelector('.figure')
  let ink = {}
  let history = null
  let gain = 1
  const reel = new Reel((context, x, k) => {
    const pairs = history.shape.wave
    const row = (k % history.capacity) * 2 * pairs
    const half = reel.rows / 2
    context.clearRect(x, 0, reel.perFrame, reel.rows)
    if (!history.heard[k % history.capacity]) return
    for (let column = 0; column < reel.perFrame; column++) {
      let [least, most] = [FULL, -FULL]
      for (let i = (column * pairs) / reel.perFrame; i < ((column + 1) * pairs) / reel.perFrame; i++) {
        least = Math.min(least, history.wave[row + 2 * i])
        most = Math.max(most, history.wave[row + 2 * i + 1])
      }
      const top = Math.max(0, half * (1 - (gain * most) / FULL))
      const foot = Math.min(reel.rows, half * (1 - (gain * least) / FULL))
      context.fillStyle = most >= FULL - 1 || least <= 1 - FULL ? ink.clip : ink.wave
      context.fillRect(x + column, top, 1, Math.max(1, foot - top))
    }
  }, 2)
  const plot = new Plot(
    root.querySelector('canvas'),
    again,
    (context, width, height, scene) => {
      context.fillStyle = ink.ground
      context.fillRect(0, 0, width, height)
      context.fillStyle = ink.line
      context.fillRect(0, Math.floor(height / 2), width, 1)
      if (scene.history?.shape.wave) reel.show(context, scene.history, scene.head, scene.frames, width, height)
    },
    (canvas) => {
      ink = { ground: colour(root, '--ground'), line: colour(root, '--rule') }
      ink.wave = colour(root, '--wave')
      ink.clip = colour(root, '--bad')
      reel.rows = canvas.height
      reel.stale()
    },
  )

  return {
    draw(scene) {
      history = scene.history
      if (history && scene.ticking) {
        const fits = gainFor(loudest(history))
        if (fits !== gain) {
          gain = fits
          reel.stale()
        }
        figure.textContent = gain > 1 ? `×${gain}` : ''
        figure.title = gain > 1 ? `The sound is quiet: it is drawn ${gain} times as high` : ''
      }
      plot.update(scene, gain)
    },
  }
}

function loudest({ peakDb, written, capacity }) {
  let peak = -60
  for (let k = 0; k < Math.min(written, capacity); k++) if (peakDb[k] > peak) peak = peakDb[k]
  return peak
}
