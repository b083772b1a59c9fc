// The spikes: a dot for each neuron and frame, the cochlea's fibres on top, then layer after layer. Knows bits and layers;
// nothing of labels.

import { colour } from './canvas.js'
import { Plot } from './plot.js'
import { Reel } from './reel.js'

const LEAST = 0.15 // of the height for a layer, however few its neurons
const FAINTEST = 0.2
const TONES = ['--bowed', '--woodwind', '--keyboard', '--brass', '--plucked']

/**
 * Where each group stands: [{name, tone, up: low bands at the foot, first neuron, count, top and height, shares of the whole}].
 * fine: of the first layer's neurons, the last ones: the fibres of a second, longer look.
 */
export function arrange(layers, fine = 0) {
  const groups = layers.map((count, i) => ({ name: nameOf(i, layers.length), tone: i, up: i === 0, count }))
  if (fine > 0) {
    groups[0].count -= fine
    groups.splice(1, 0, { name: 'fine', tone: layers.length, up: true, count: fine })
  }
  const total = groups.reduce((sum, { count }) => sum + count, 0)
  const wanted = groups.map(({ count }) => Math.max(LEAST, count / total))
  const all = wanted.reduce((sum, share) => sum + share, 0)
  let first = 0
  let top = 0
  return groups.map((group, i) => {
    const { count } = group
    const place = { ...group, first, top, height: wanted[i] / all }
    first += count
    top += place.height
    return place
  })
}

/** The name of layer i of n: what it is in the network. */
export function nameOf(i, n) {
  if (i === 0) return 'cochlea'
  return i === n - 1 ? 'outputs' : `layer ${i}`
}

/** The neuron at a height (0 at the top, 1 at the foot) of the picture. */
export function neuronAt(share, places) {
  const i = Math.max(0, places.findLastIndex(({ top }) => top <= share))
  const { first, count, top, height, up } = places[i]
  const row = Math.min(count - 1, Math.max(0, Math.floor(((share - top) / height) * count)))
  return first + (up ? count - 1 - row : row)
}

export function mount(root, { again, onPick }) {
  const axis = root.querySelector('.axis')
  let ink = {}
  let history = null
  let places = []
  let told = null
  const reel = new Reel((context, x, k) => {
    context.clearRect(x, 0, 1, reel.rows)
    for (const { first, count, top, height, tone, up } of places) {
      const from = Math.round(top * reel.rows)
      const rows = Math.max(1, Math.round(height * reel.rows) - 1) // a line of ground between two layers
      context.fillStyle = ink.tones[tone % TONES.length]
      context.globalAlpha = Math.min(1, Math.max(FAINTEST, rows / count)) // many neurons in one dot: the more, the brighter
      for (let j = 0; j < count; j++) {
        if (!history.fired(k, first + j)) continue
        const row = up ? count - 1 - j : j // the cochlea's high bands are above, as in the spectrogram
        context.fillRect(x, from + Math.floor((row * rows) / count), 1, Math.max(1, Math.floor(rows / count)))
      }
    }
  })
  const plot = new Plot(
    root.querySelector('canvas'),
    again,
    (context, width, height, scene) => {
      context.fillStyle = ink.ground
      context.fillRect(0, 0, width, height)
      context.imageSmoothingEnabled = false
      if (scene.history) reel.show(context, scene.history, scene.head, scene.frames, width, height)
    },
    (canvas) => {
      ink = { ground: colour(root, '--ground'), tones: TONES.map((name) => colour(root, name)) }
      reel.rows = canvas.height
      reel.stale()
    },
  )

  root.querySelector('canvas').addEventListener('click', (event) => {
    if (places.length > 0) onPick(neuronAt(event.offsetY / event.target.clientHeight, places))
  })

  return {
    draw(scene) {
      history = scene.history
      if (history && told !== history.shape.layers) {
        told = history.shape.layers
        places = arrange(told, history.shape.fine)
        reel.stale()
        axis.replaceChildren(
          ...places.map(({ name, top, height, count }) => {
            const mark = document.createElement('span')
            mark.textContent = name
            mark.title = `${count} neurons`
            mark.style.bottom = `${100 * (1 - top - height / 2)}%`
            return mark
          }),
        )
      }
      plot.update(scene)
    },
  }
}
