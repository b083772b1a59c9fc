// One lane's picture: evidence, threshold and event bars over the last seconds, the newest at the right edge. Draws only
// when something in it moves: a label of which nothing was heard costs nothing.

import { colour, onScheme, sharp } from './canvas.js'

const FAINT = 0.02 // a score below this is drawn as none
const BAR = 0.2 // share of the height that the event bars take, at the foot

export class Strip {
  constructor(canvas, threshold) {
    this.canvas = canvas
    this.threshold = threshold // score, 0..1
    this.context = sharp(canvas, () => (this.still = this.colours = null))
    this.colours = null
    this.still = null // the history that the empty picture on the canvas belongs to
    this.drawn = -1 // frames of the history that the canvas shows
    onScheme(() => (this.still = this.colours = null))
  }

  /** history: or null. label: its index. marks: the label's events of this session, any order. */
  draw(history, label, marks, session) {
    const empty = marks.length === 0 && (!history || !this.#isHeard(history, label))
    if (empty && this.still === (history ?? this)) return
    this.#ground()
    if (!history) return void (this.still = this)
    const { width, height } = this.canvas
    const pxPerFrame = width / history.capacity
    const pxPerSample = pxPerFrame / history.samplesPerFrame
    this.context.fillStyle = this.colours.tone
    for (const mark of marks) {
      const left = width - (history.endSample - mark.onset_sample) * pxPerSample
      const right = mark.offset_sample === null ? width : width - (history.endSample - mark.offset_sample) * pxPerSample
      if (right < 0) continue
      this.context.globalAlpha = 0.16
      this.context.fillRect(left, 0, right - left, height)
      this.context.globalAlpha = 1
      this.context.fillRect(left, height * (1 - BAR), Math.max(right - left, 1), height * BAR)
    }
    if (!empty) this.#curve(history, label, pxPerFrame)
    this.still = empty ? history : null
  }

  #isHeard(history, label) {
    const [from, to] = history.since(0)
    for (let k = from; k < to; k++) {
      if (history.scores[(k % history.capacity) * history.labels + label] >= FAINT) return true
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
    const y = Math.round(height * (1 - this.threshold))
    for (let x = width; x > 0; x -= 2 * dash) this.context.fillRect(x - dash, y, dash, Math.max(1, Math.round(devicePixelRatio)))
  }

  /** The score over time, filled to the foot, a point for each frame or each pixel, whichever are fewer. */
  #curve(history, label, pxPerFrame) {
    const { width, height } = this.canvas
    const [from, to] = history.since(0)
    const every = Math.max(1, Math.floor(1 / pxPerFrame))
    const path = new Path2D()
    let x = width - (to - from) * pxPerFrame
    path.moveTo(x, height)
    for (let k = from; k < to; k += every) {
      x = width - (to - k - 1) * pxPerFrame
      path.lineTo(x, height * (1 - history.scores[(k % history.capacity) * history.labels + label]))
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
