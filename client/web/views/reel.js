// A picture that runs to the left: each frame is painted once, into a ring of columns; what is shown are at most two
// pieces of it. Knows columns and frames; nothing of what is painted.

export class Reel {
  /**
   * perFrame: columns for each frame. paint(ink, x, k): draw frame k at column x, over what was there.
   * The ring has `rows` of pixels; set it, and call `stale`, when they change.
   */
  constructor(paint, perFrame = 1) {
    this.paint = paint
    this.perFrame = perFrame
    this.rows = 1
    this.ring = document.createElement('canvas')
    this.ink = this.ring.getContext('2d')
    this.history = null
    this.painted = 0
  }

  /** Paint everything anew at the next picture. */
  stale() {
    this.history = null
  }

  /** Draw the `frames` before `head` into the rectangle of `context`, the newest at its right edge. */
  show(context, history, head, frames, width, height, top = 0) {
    if (this.history !== history || this.ring.height !== this.rows) {
      this.ring.width = history.capacity * this.perFrame
      this.ring.height = this.rows
      this.history = history
      this.painted = 0
    }
    const [from, to] = history.since(this.painted)
    for (let k = from; k < to; k++) this.paint(this.ink, (k % history.capacity) * this.perFrame, k)
    this.painted = to

    const first = Math.max(Math.floor(head - frames), history.written - history.capacity, 0)
    const end = Math.min(Math.ceil(head), history.written)
    const step = width / frames
    for (let k = first; k < end; ) {
      const at = k % history.capacity
      const run = Math.min(end - k, history.capacity - at)
      const x = width - (head - k) * step
      const { perFrame, rows } = this
      context.drawImage(this.ring, at * perFrame, 0, run * perFrame, rows, x, top, run * step, height)
      k += run
    }
  }
}
