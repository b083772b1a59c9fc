// The last seconds of frames, in typed-array rings of fixed size. Knows frame counts and samples; nothing of pixels or
// sockets.

import { score } from './frames.js'

export const NONE = -128 // evidence of a frame that was not heard: the least that a message can say
const FULL_SCALE = 32767
const SILENT_DB = -100

export class History {
  /** frames: how many are kept. shape: of `layout`. samplesPerFrame: on the session's clock. */
  constructor({ frames, shape, samplesPerFrame, framesPerSecond = 100 }) {
    this.capacity = frames
    this.shape = shape
    this.samplesPerFrame = samplesPerFrame
    this.framesPerSecond = framesPerSecond
    this.spikeBytes = shape.evidenceAt - shape.bands
    this.levels = new Uint8Array(frames * shape.bands) // (capacity, bands) log magnitude, 0 where nothing was heard
    this.linear = new Uint8Array(frames * shape.linear) // (capacity, bins) the same, equally spaced in Hz
    this.spikes = new Uint8Array(frames * this.spikeBytes) // (capacity, bytes) bits
    this.evidence = new Float32Array(frames * shape.labels).fill(NONE) // (capacity, labels) log-odds
    this.wave = new Int16Array(frames * shape.wave * 2) // (capacity, pairs, 2) least and greatest sample
    this.peakDb = new Float32Array(frames).fill(SILENT_DB) // (capacity,) greatest sample of the frame
    this.heard = new Uint8Array(frames) // (capacity,) 0 for a frame that was lost
    this.written = 0 // frames ever written; frame k lies in row k % capacity
    this.endSample = 0 // the sample after the newest frame's first one's share
  }

  /** The sample at the right edge of a picture whose head is the frame `head`, with its fraction. */
  sampleAt(head) {
    return this.endSample - (this.written - head) * this.samplesPerFrame
  }

  /** The frame, with its fraction, that stands where `sample` does. */
  headAt(sample) {
    return this.written - (this.endSample - sample) / this.samplesPerFrame
  }

  /** Append decoded frames. Frames that were lost before them become blank ones, so that time stays true. */
  feed({ firstSample, count, rows }) {
    const missing = this.written === 0 ? 0 : Math.round((firstSample - this.endSample) / this.samplesPerFrame)
    for (let k = 0; k < Math.min(missing, this.capacity); k++) this.#blank()
    const view = new DataView(rows.buffer, rows.byteOffset)
    for (let k = 0; k < count; k++) this.#append(rows, view, k * this.shape.bytes)
    this.endSample = firstSample + count * this.samplesPerFrame
  }

  /** How many of the frames from index `first` on are still here, and where they start: [from, to). */
  since(first) {
    return [Math.max(first, this.written - this.capacity, 0), this.written]
  }

  /** The newest score of a label, 0 to 1; 0 before the first. */
  scoreNow(label) {
    return this.written === 0
      ? 0
      : score(this.evidence[((this.written - 1) % this.capacity) * this.shape.labels + label])
  }

  /** Did neuron `index` (cochlea first, then layer after layer) fire in frame k? */
  fired(k, index) {
    return (this.spikes[(k % this.capacity) * this.spikeBytes + (index >> 3)] >> (index & 7)) & 1
  }

  #append(rows, view, at) {
    const { bands, labels, linear, evidenceAt, waveAt, linearAt, evidenceScale } = this.shape
    const row = this.written % this.capacity
    this.levels.set(rows.subarray(at, at + bands), row * bands)
    this.spikes.set(rows.subarray(at + bands, at + evidenceAt), row * this.spikeBytes)
    this.linear.set(rows.subarray(at + linearAt, at + linearAt + linear), row * linear)
    for (let i = 0; i < labels; i++)
      this.evidence[row * labels + i] = view.getInt16(at + evidenceAt + 2 * i, true) / evidenceScale
    const values = 2 * this.shape.wave
    let peak = 0
    for (let i = 0; i < values; i++) {
      const sample = view.getInt16(at + waveAt + 2 * i, true)
      this.wave[row * values + i] = sample
      if (sample > peak) peak = sample
      else if (-sample > peak) peak = -sample
    }
    this.peakDb[row] = peak > 0 ? Math.max(SILENT_DB, 20 * Math.log10(peak / FULL_SCALE)) : SILENT_DB
    this.heard[row] = 1
    this.written += 1
  }

  #blank() {
    const { bands, labels, linear, wave } = this.shape
    const row = this.written % this.capacity
    this.levels.fill(0, row * bands, (row + 1) * bands)
    this.linear.fill(0, row * linear, (row + 1) * linear)
    this.spikes.fill(0, row * this.spikeBytes, (row + 1) * this.spikeBytes)
    this.evidence.fill(NONE, row * labels, (row + 1) * labels)
    this.wave.fill(0, row * wave * 2, (row + 1) * wave * 2)
    this.peakDb[row] = SILENT_DB
    this.heard[row] = 0
    this.written += 1
  }
}
