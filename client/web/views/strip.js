// One lane's picture: the membrane of its output neuron between the thresholds that turn it on and off, and its events as
// bars. Knows evidence and samples; nothing of names.

import { logOdds } from '../frames.js'
import { colour } from './canvas.js'
import { Plot } from './plot.js'
import { Reel } from './reel.js'

const LEAST = -4.5 // log-odds at the foot: 1 : 90
const MOST = 5 // at the top: 150 : 1
const RIDGE = 0.16 // share that the marks of a difference take, at the top
const BAR = 0.2 // share of the height that the event bars take, at the foot

/** Share of the height for evidence, 0 to 1. */
export const heightOf = (evidence) => Math.min(1, Math.max(0, (evidence - LEAST) / (MOST - LEAST)))

export class Strip {
  /** index: of the label. */
  constructor(canvas, index, again) {
    this.index = index
    this.ink = {}
    this.history = null
    this.events = [] // of this session and label
    this.rules = null // {on, off: scores} or null where the label is not asked for
    this.split = null // [{from, to}] in samples: where another model says something else
    this.reel = new Reel((context, x, k) => this.#column(context, x, k))
    this.plot = new Plot(canvas, again, this.#show.bind(this), () => {
      this.ink = {
        ground: colour(canvas, '--ground'),
        line: colour(canvas, '--threshold'),
        apart: colour(canvas, '--bad'),
        tone: colour(canvas, '--tone'),
      }
      this.reel.rows = canvas.height
      this.reel.stale()
    })
  }

  draw(scene, events, rules, split = null) {
    this.history = scene.history
    this.events = events
    this.rules = rules
    this.split = split
    this.version = rules === this.ruled && events === this.told && split === this.parted ? this.version : {}
    this.ruled = rules
    this.told = events
    this.parted = split
    this.plot.update(scene, this.version)
  }

  #column(context, x, k) {
    const { history, ink } = this
    const rows = this.reel.rows
    context.clearRect(x, 0, 1, rows)
    if (this.index < 0 || !history.heard[k % history.capacity]) return
    const high = rows * heightOf(history.evidence[(k % history.capacity) * history.shape.labels + this.index])
    if (high < 1) return
    context.fillStyle = ink.tone
    context.globalAlpha = 0.28
    context.fillRect(x, rows - high, 1, high)
    context.globalAlpha = 1
    context.fillRect(x, rows - high, 1, Math.max(1, 1.25 * devicePixelRatio))
  }

  #show(context, width, height, { history, head, frames }) {
    const { ink } = this
    context.globalAlpha = 1
    context.fillStyle = ink.ground
    context.fillRect(0, 0, width, height)
    if (history) {
      for (const event of this.events) this.#bar(context, width, height, event, history, head, frames)
      this.reel.show(context, history, head, frames, width, height)
    }
    if (history && this.split) this.#apart(context, width, height, history, head, frames)
    if (!this.rules) return
    const dash = Math.round(4 * devicePixelRatio)
    const thick = Math.max(1, Math.round(devicePixelRatio))
    context.fillStyle = ink.line
    for (const [score, gap] of [
      [this.rules.on, 2],
      [this.rules.off, 4],
    ]) {
      const y = Math.round(height * (1 - heightOf(logOdds(score))))
      for (let x = width; x > 0; x -= gap * dash) context.fillRect(x - dash, y, dash, thick)
    }
  }

  /** Where two models differ: a hatched ridge at the top, between the two strips. */
  #apart(context, width, height, history, head, frames) {
    const step = width / frames
    const ridge = Math.max(2, Math.round(height * RIDGE))
    context.fillStyle = this.ink.apart
    for (const { from, to } of this.split) {
      const left = Math.max(0, width - (head - history.headAt(from)) * step)
      const right = Math.min(width, width - (head - history.headAt(to)) * step)
      for (let x = left; x < right; x += 2 * ridge) context.fillRect(x, 0, Math.min(ridge, right - x), ridge)
    }
  }

  /** An event: a tint over the whole height, a bar at the foot; to the right edge while it is open. */
  #bar(context, width, height, { onset_sample: begin, offset_sample: end }, history, head, frames) {
    const step = width / frames
    const x = (sample) =>
      width - (head - history.written + (history.endSample - sample) / history.samplesPerFrame) * step
    const left = Math.max(0, x(begin))
    const right = end === null ? width : Math.min(width, x(end))
    if (right < 0 || left > width) return
    const wide = Math.max(1, right - left)
    context.fillStyle = this.ink.tone
    context.globalAlpha = 0.16
    context.fillRect(left, 0, wide, height)
    context.globalAlpha = 1
    context.fillRect(left, height * (1 - BAR), wide, height * BAR)
  }
}
