// One lane's picture: evidence, threshold and event bars over the last seconds, the newest at the right edge. Draws only
// when something in it moves and can be seen: a label of which nothing was heard costs nothing.

import { logOdds } from '../frames.js'
import { colour, onScheme, sharp } from './canvas.js'

// Evidence (log-odds) is drawn against the label's own threshold, so that every lane has its threshold at one height.
const BELOW = 5 // of evidence under the threshold, at the foot: 1 : 150
const ABOVE = 3 // over it, at the top
const BAR = 0.2 // share of the height that the event bars take, at the foot

export class Strip {
  constructor(canvas, threshold, again) {
    const stale = () => {
      this.still = this.colours = null
      again()
    }
    this.canvas = canvas
    this.threshold = threshold === null ? null : logOdds(threshold) // evidence; null: the label is not asked for
    this.context = sharp(canvas, stale)
    this.colours = null
    this.still = null // the history (or this, for none) whose empty picture stands on the canvas
    this.visible = true // false while it is scrolled out of sight: then nothing is drawn
    onScheme(stale)
    new IntersectionObserver((entries) => {
      this.visible = entries.at(-1).isIntersecting
      if (this.visible) stale()
    }).observe(canvas)
  }

  /** history: or null before a session. label: its index. events: the label's, of this session, in any order. */
  draw(history, label, events) {
    if (!this.visible) return
    const shown = history ? events.filter((event) => this.#isInside(history, event)) : []
    const empty = shown.length === 0 && !(history && this.#isHeard(history, label))
    if (empty && this.still === (history ?? this)) return
    this.#ground()
    for (const event of shown) this.#bar(history, event)
    if (!empty) this.#curve(history, label)
    this.still = empty ? (history ?? this) : null
  }

  #isInside(history, { offset_sample: end }) {
    return end === null || end > history.endSample - history.capacity * history.samplesPerFrame
  }

  #isHeard(history, label) {
    const [from, to] = history.since(0)
    for (let k = from; k < to; k++) {
      if (this.#heightOf(history, label, k) > 0) return true
    }
    return false
  }

  #ground() {
    const { width, height } = this.canvas
    this.colours ??= {
      ground: colour(this.canvas, '--ground'),
      line: colour(this.canvas, '--threshold'),
      tone: colour(this.canvas, '--tone'),
    }
    this.context.globalAlpha = 1
    this.context.fillStyle = this.colours.ground
    this.context.fillRect(0, 0, width, height)
    this.context.fillStyle = this.colours.line
    const dash = Math.round(4 * devicePixelRatio)
    if (this.threshold === null) return
    const y = Math.round((height * ABOVE) / (ABOVE + BELOW))
    for (let x = width; x > 0; x -= 2 * dash)
      this.context.fillRect(x - dash, y, dash, Math.max(1, Math.round(devicePixelRatio)))
  }

  /** Share of the height for the evidence of frame k, 0 to 1. */
  #heightOf(history, label, k) {
    const evidence = history.evidence[(k % history.capacity) * history.labels + label]
    return Math.min(1, Math.max(0, (evidence - (this.threshold ?? 0) + BELOW) / (ABOVE + BELOW)))
  }

  /** An event: a tint over the whole height, a bar at the foot; to the right edge while it is open. */
  #bar(history, { onset_sample: begin, offset_sample: end }) {
    const { width, height } = this.canvas
    const x = (sample) => width - ((history.endSample - sample) * width) / (history.capacity * history.samplesPerFrame)
    const left = x(begin)
    const wide = Math.max(1, (end === null ? width : x(end)) - left)
    this.context.fillStyle = this.colours.tone
    this.context.globalAlpha = 0.16
    this.context.fillRect(left, 0, wide, height)
    this.context.globalAlpha = 1
    this.context.fillRect(left, height * (1 - BAR), wide, height * BAR)
  }

  /** The evidence over time, filled to the foot, a point for each frame or each pixel, whichever are fewer. */
  #curve(history, label) {
    const { width, height } = this.canvas
    const pxPerFrame = width / history.capacity
    const [from, to] = history.since(0)
    const every = Math.max(1, Math.floor(1 / pxPerFrame))
    const path = new Path2D()
    let x = width - (to - from) * pxPerFrame
    path.moveTo(x, height)
    for (let k = from; k < to; k += every) {
      x = width - (to - k - 1) * pxPerFrame
      path.lineTo(x, height * (1 - this.#heightOf(history, label, k)))
    }
    this.context.strokeStyle = this.colours.tone
    this.context.lineWidth = 1.25 * devicePixelRatio
    this.context.stroke(path)
    path.lineTo(x, height)
    this.context.globalAlpha = 0.28
    this.context.fillStyle = this.colours.tone
    this.context.fill(path)
    this.context.globalAlpha = 1
  }
}
