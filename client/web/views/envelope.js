// The envelope in dB, its parts marked by letter and shade: attack, decay, sustain, release.

import * as adsr from '../adsr.js'
import { colour } from './canvas.js'
import { Plot } from './plot.js'

const FLOOR_DB = -72
const LETTER_PX = 13 // a part narrower than this has no letter
const SHADES = [0, 0.85, 0.55, 0.3, 0.14] // of the phases' fill

export function mount(root, { again }) {
  const figure = root.querySelector('.figure')
  let ink = {}
  let envelope = null
  let of = null // the history that the envelope follows
  const plot = new Plot(root.querySelector('canvas'), again, draw, () => {
    ink = { ground: colour(root, '--ground'), tone: colour(root, '--wave'), text: colour(root, '--ink') }
  })

  function follow(history) {
    if (of !== history) {
      of = history
      envelope = new adsr.Envelope(history.capacity, history.framesPerSecond)
    }
    for (let [k, to] = history.since(envelope.next); k < to; k++) {
      envelope.next = k
      envelope.feed(history.peakDb[k % history.capacity], history.heard[k % history.capacity] === 1)
    }
  }

  function draw(context, width, height, { history, head, frames }) {
    context.globalAlpha = 1
    context.fillStyle = ink.ground
    context.fillRect(0, 0, width, height)
    if (!history?.shape.wave) return
    const step = width / frames
    const first = Math.max(Math.floor(head - frames), history.written - history.capacity, 0)
    const end = Math.min(Math.ceil(head), envelope.next)
    const x = (k) => width - (head - k) * step
    const y = (k) => height * (1 - Math.max(0, 1 - envelope.db[k % envelope.capacity] / FLOOR_DB))
    const ratio = devicePixelRatio
    context.font = `${Math.round(10.5 * ratio)}px system-ui, sans-serif`
    for (let k = first; k < end; ) {
      const phase = envelope.phase[k % envelope.capacity]
      let to = k + 1
      while (to < end && envelope.phase[to % envelope.capacity] === phase) to++
      if (phase !== adsr.NONE) {
        context.globalAlpha = SHADES[phase]
        context.fillStyle = ink.tone
        context.beginPath()
        context.moveTo(x(k), height)
        for (let j = k; j <= Math.min(to, end - 1); j++) context.lineTo(x(j), y(j))
        context.lineTo(x(Math.min(to, end - 1)), height)
        context.fill()
        context.globalAlpha = 1
        if ((to - k) * step > LETTER_PX * ratio && (k > first || phase !== adsr.ATTACK)) {
          context.fillStyle = ink.text
          context.fillText(adsr.LETTERS[phase], Math.max(x(k), 0) + 3 * ratio, height - 4 * ratio)
        }
      }
      k = to
    }
    context.strokeStyle = ink.tone
    context.lineWidth = 1.25 * ratio
    context.beginPath()
    for (let k = first; k < end; k++) context.lineTo(x(k), y(k))
    context.stroke()
  }

  return {
    draw(scene) {
      if (scene.history?.shape.wave) follow(scene.history)
      if (scene.ticking) {
        const ms = envelope?.attackMs ?? null
        figure.textContent = ms === null ? '' : `${Math.round(ms)} ms`
        figure.title = ms === null ? '' : 'Attack of the newest note'
      }
      plot.update(scene)
    },
  }
}
