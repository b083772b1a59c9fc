// One neuron: when it fired, what it responds to (its weights over the bands), which labels it works on. Picked by its number
// or by a click on the raster. Knows weights and spikes; asks for the weights through `onPick`.

import { hertz, words } from '../format.js'
import { colour } from './canvas.js'
import { Plot } from './plot.js'
import { nameOf } from './raster.js'
import { Reel } from './reel.js'

/** The neuron in words: where it is, what it works on. */
export function described({ layer, neuron, labels, fine, ...first }, layers) {
  const looks = fine ? [first, fine] : [first]
  const flat = looks.flatMap(({ weights, fibres, bands_hz: bands }) =>
    weights.flatMap((row, i) => row.map((weight, band) => ({ weight, hz: bands[band], kind: fibres[i] }))),
  )
  const best = flat.reduce((most, one) => (one.weight > most.weight ? one : most), { weight: -Infinity })
  const on = labels.slice(0, 3).map(([label, weight]) => `${weight > 0 ? 'for' : 'against'} ${words(label)}`)
  const where = `${nameOf(layer, layers)}, neuron ${neuron}`
  return `${where}. Hears ${hertz(best.hz)} (${best.kind}) best; works ${on.join(', ') || 'on nothing'}.`
}

export function mount(root, { onPick, again }) {
  const [input, text, figure] = ['input', '.neuron-text', '.figure'].map((selector) => root.querySelector(selector))
  const [train, field] = root.querySelectorAll('canvas')
  let ink = {}
  let history = null
  let told = null
  const reel = new Reel((context, x, k) => {
    context.clearRect(x, 0, 1, 1)
    context.fillStyle = ink.tone
    if (told && history.fired(k, told.index)) context.fillRect(x, 0, 1, 1)
  })
  const plot = new Plot(
    train,
    again,
    (context, width, height, scene) => {
      context.fillStyle = ink.ground
      context.fillRect(0, 0, width, height)
      context.imageSmoothingEnabled = false
      if (scene.history && told) reel.show(context, scene.history, scene.head, scene.frames, width, height)
    },
    () => {
      ink = { ground: colour(root, '--ground'), tone: colour(root, '--accent'), against: colour(root, '--keyboard') }
      reel.stale()
      paintField()
    },
  )
  input.addEventListener('change', () => onPick(input.value === '' ? null : Number(input.value)))

  /** Weights as a small map: bands to the right, a row for each kind of fibre, those of a finer look on top; warm excites,
   * cold inhibits. */
  function paintField() {
    if (!told) return
    const weights = [...told.weights, ...(told.fine?.weights ?? [])]
    Object.assign(field, { width: Math.max(...weights.map((row) => row.length)) * 4, height: weights.length * 4 })
    const context = field.getContext('2d')
    const most = Math.max(...weights.flat().map(Math.abs)) || 1
    context.fillStyle = ink.ground
    context.fillRect(0, 0, field.width, field.height)
    weights.forEach((row, i) =>
      row.forEach((weight, band) => {
        context.globalAlpha = Math.abs(weight) / most
        context.fillStyle = weight > 0 ? ink.tone : ink.against
        const wide = field.width / row.length
        context.fillRect(wide * band, 4 * (weights.length - 1 - i), wide, 4)
      }),
    )
  }

  return {
    update({ neuron, session }) {
      if (told === neuron) return
      told = neuron
      field.hidden = !told
      reel.stale()
      plot.shown = null
      if (document.activeElement !== input) input.value = told?.index ?? ''
      text.textContent = told ? described(told, session?.shape?.layers.length ?? told.layer + 2) : ''
      paintField()
      again()
    },
    draw(scene) {
      history = scene.history
      if (root.dataset.folded === 'true') return
      if (scene.ticking) figure.textContent = told && history ? `${rateOf(history, told.index)} /s` : ''
      plot.update(scene, told)
    },
  }
}

/** Spikes in the last second. */
export function rateOf(history, index) {
  const [from, to] = history.since(history.written - Math.round(history.framesPerSecond))
  let count = 0
  for (let k = from; k < to; k++) count += history.fired(k, index)
  return count
}
