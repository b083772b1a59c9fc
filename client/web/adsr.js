// The envelope of the sound and its parts: attack, decay, sustain, release. Pure: feed levels in dB, one for each frame,
// and read phases. A part is known only after it began, so phases of the last frames may change.

export const NONE = 0
export const ATTACK = 1
export const DECAY = 2
export const SUSTAIN = 3
export const RELEASE = 4
export const LETTERS = ['', 'A', 'D', 'S', 'R']

const FLOOR_DB = -66 // below it there is no note
const FALL_DB_S = 300 // the envelope falls no faster: between two swings of a low note it stays up
const BACK_S = 0.12 // how far back the foot of a rise is looked for
const RISE_DB = 8 // over the foot: a new note
const FOOT_DB = 3 // this near to the least level the rise begins
const TURN_DB = 1 // below the peak: the attack is over
const FLAT_DB_S = 20 // falling more slowly than this is sustain
const DROP_DB = 9 // below the sustained level: the release has begun
const REST_DB = 45 // below the peak: the note is over

export class Envelope {
  /** frames: capacity of the ring; frame k lies in k % frames. */
  constructor(frames, framesPerSecond) {
    this.capacity = frames
    this.rate = framesPerSecond
    this.back = Math.max(2, Math.round(BACK_S * framesPerSecond))
    this.db = new Float32Array(frames).fill(-100) // (capacity,) the envelope
    this.phase = new Uint8Array(frames) // (capacity,) of each frame
    this.next = 0 // frames fed
    this.attackMs = null // of the newest note whose attack is over
    this.#rest()
  }

  /** The level of the next frame; heard: false where it was lost. */
  feed(level, heard = true) {
    const k = this.next++
    const before = k > 0 ? this.#at(k - 1) : -100
    const db = heard ? Math.max(level, before - FALL_DB_S / this.rate) : -100
    this.db[k % this.capacity] = db
    if (!heard) this.#rest()
    else if (this.state !== ATTACK && this.#rises(k, db)) this.#begin(k)
    else this.#follow(k, db)
    this.phase[k % this.capacity] = this.state
  }

  #at(k) {
    return this.db[k % this.capacity]
  }

  #rest() {
    this.state = NONE
    this.peak = -100
    this.peakAt = this.begunAt = 0
    this.level = 0 // while sustained
  }

  #rises(k, db) {
    if (db < FLOOR_DB) return false
    let least = db
    for (let j = this.#from(k); j < k; j++) least = Math.min(least, this.#at(j))
    return db - least > RISE_DB
  }

  /** The first frame of a rise that ends at k: after the peak of the note before it. */
  #from(k) {
    return Math.max(0, k - this.back, this.state === NONE ? 0 : this.peakAt)
  }

  /** A note: its attack began at the foot of the rise. */
  #begin(k) {
    const from = this.#from(k)
    let least = this.#at(k)
    for (let j = from; j < k; j++) least = Math.min(least, this.#at(j))
    let foot = k
    while (foot > from && this.#at(foot) > least + FOOT_DB) foot--
    this.begunAt = foot
    this.#mark(foot, k, ATTACK)
    this.state = ATTACK
    this.peak = this.#at(k)
    this.peakAt = k
  }

  #follow(k, db) {
    const flat = this.back >> 1
    const slope = k >= flat ? ((db - this.#at(k - flat)) / flat) * this.rate : 0 // dB a second
    if (this.state === NONE) return
    if (db < FLOOR_DB || db < this.peak - REST_DB) return this.#rest()
    if (this.state === ATTACK) {
      if (db > this.peak + 0.1) {
        this.peak = db
        this.peakAt = k
      } else if (db < this.peak - TURN_DB || k - this.peakAt > this.back) {
        this.attackMs = ((this.peakAt - this.begunAt) * 1000) / this.rate
        this.#turn(this.peakAt + 1, k, DECAY)
      }
    } else if (this.state === DECAY) {
      if (k - this.peakAt > flat && slope > -FLAT_DB_S) {
        this.level = db
        this.#turn(k - flat + 1, k, SUSTAIN)
      } else if (db < this.peak - 2 * DROP_DB) this.state = RELEASE
    } else if (this.state === SUSTAIN) {
      this.level += (db - this.level) * Math.min(1, 3 / this.rate)
      if (db < this.level - DROP_DB) {
        let from = k
        while (from > k - this.back && this.#at(from - 1) < this.level - DROP_DB / 3) from--
        this.#turn(from, k, RELEASE)
      }
    }
  }

  #turn(from, to, state) {
    this.#mark(from, to, state)
    this.state = state
  }

  #mark(from, to, state) {
    for (let j = Math.max(from, to - this.capacity + 1, 0); j <= to; j++) this.phase[j % this.capacity] = state
  }
}
