// The last seconds of frames, in fixed memory. Knows frame counts and samples; nothing of pixels or sockets.

import { score } from './frames.js'

export const NONE = -128 // evidence of a frame that was not heard: the least that a message can say

export class History {
  constructor({ frames, bands, labels, samplesPerFrame }) {
    this.capacity = frames
    this.bands = bands
    this.labels = labels
    this.samplesPerFrame = samplesPerFrame
    this.levels = new Uint8Array(frames * bands) // (capacity, bands) log magnitude, 0 where nothing was heard
    this.evidence = new Float32Array(frames * labels).fill(NONE) // (capacity, labels) log-odds
    this.written = 0 // frames ever written; frame k lies in row k % capacity
    this.endSample = 0 // the sample after the newest frame's first one's share
  }

  /** Append decoded frames. Frames that were lost before them become blank ones, so that time stays true. */
  feed({ firstSample, count, bands, evidence }) {
    const missing = this.written === 0 ? 0 : Math.round((firstSample - this.endSample) / this.samplesPerFrame)
    for (let k = 0; k < Math.min(missing, this.capacity); k++) this.#append(null, null)
    for (let k = 0; k < count; k++) {
      this.#append(
        bands.subarray(k * this.bands, (k + 1) * this.bands),
        evidence.subarray(k * this.labels, (k + 1) * this.labels),
      )
    }
    this.endSample = firstSample + count * this.samplesPerFrame
  }

  /** How many of the frames from index `first` on are still here, and where they start: [from, to). */
  since(first) {
    return [Math.max(first, this.written - this.capacity, 0), this.written]
  }

  /** The newest score of a label, 0 to 1; 0 before the first. */
  scoreNow(label) {
    return this.written === 0 ? 0 : score(this.evidence[((this.written - 1) % this.capacity) * this.labels + label])
  }

  #append(bands, evidence) {
    const row = this.written % this.capacity
    if (bands) this.levels.set(bands, row * this.bands)
    else this.levels.fill(0, row * this.bands, (row + 1) * this.bands)
    if (evidence) this.evidence.set(evidence, row * this.labels)
    else this.evidence.fill(NONE, row * this.labels, (row + 1) * this.labels)
    this.written += 1
  }
}
