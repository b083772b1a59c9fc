// Where "now" stands on the frames, so that pictures glide although frames come in bursts. Pure: times are given.

const BEHIND_S = 0.06 // the picture is this far behind the newest frame: bursts are shorter
const PULL = 3 // share of the distance to its place that is made good each second, in speed
const JUMP_S = 0.5 // further away than this: no gliding
const SETTLED_S = 0.3 // without news for so long the picture goes to the newest frame and stands

export class Clock {
  constructor(framesPerSecond) {
    this.rate = framesPerSecond
    this.head = 0 // frame at the right edge, with its fraction
    this.written = 0
    this.fedAt = -Infinity
    this.at = 0
  }

  /** `written` frames are there at `at`, in ms. */
  feed(written, at) {
    this.written = written
    this.fedAt = at
  }

  /** The frame at the right edge at `at`. calm: stand at the newest one. */
  read(at, calm = false) {
    const dt = Math.min(0.1, Math.max(0, (at - this.at) / 1000))
    this.at = at
    const settled = at - this.fedAt > 1000 * SETTLED_S
    const aim = this.written - (settled ? 0 : BEHIND_S * this.rate)
    const off = aim - this.head
    if (calm || Math.abs(off) > JUMP_S * this.rate) this.head = calm ? this.written : aim
    else this.head += dt * (settled ? Math.max(this.rate * 0.5, PULL * off) : this.rate + PULL * off)
    this.head = Math.min(this.head, this.written)
    return this.head
  }

  /** Will the picture still move without news? */
  get moving() {
    return this.head < this.written
  }
}
