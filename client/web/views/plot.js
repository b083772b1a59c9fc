// A row of the roll with a picture in it: a canvas that is drawn when its frames moved, only while it can be seen, and
// anew when its size or the colours change. Knows when; `draw` knows what.

import { onScheme, sharp } from './canvas.js'

export class Plot {
  /** draw(context, width, height, scene); fresh(): the colours or the size have changed. */
  constructor(canvas, again, draw, fresh = () => {}) {
    this.draw = draw
    this.shown = null // what stands on the canvas: history, head, window, version
    const stale = () => {
      this.shown = null
      fresh(canvas)
      again()
    }
    this.canvas = canvas
    this.context = sharp(canvas, stale)
    this.visible = true
    onScheme(stale)
    new IntersectionObserver((entries) => {
      this.visible = entries.at(-1).isIntersecting
      if (this.visible) again()
    }).observe(canvas)
  }

  /** version: anything else that the picture depends on, compared by identity. */
  update(scene, version = null) {
    const { history, head, frames } = scene
    const is = this.shown
    const same = is && is.history === history && is.head === head && is.frames === frames && is.version === version
    if (same || !this.visible) return
    this.draw(this.context, this.canvas.width, this.canvas.height, scene)
    this.shown = { history, head, frames, version }
  }
}
