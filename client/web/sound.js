// A recording as samples for its pictures: decoded by the browser, mono, at the engine's rate. Knows audio; draws nothing.

import { Spectrum } from './fft.js'

export const RATE_HZ = 16_000
const LONGEST_MS = 30 * 60_000 // longer recordings have no picture: their samples would fill the memory
const FRAME = 512
const BLOCK = 256 // samples for each entry of the coarse wave

/** The sound of a file or a Blob, or null where it is too long or this browser cannot decode it. */
export async function decode(blob, ms) {
  if (ms > LONGEST_MS) return null
  try {
    const audio = await new OfflineAudioContext(1, 1, RATE_HZ).decodeAudioData(await blob.arrayBuffer())
    const samples = new Float32Array(audio.length)
    for (let channel = 0; channel < audio.numberOfChannels; channel++) {
      const one = audio.getChannelData(channel)
      for (let i = 0; i < one.length; i++) samples[i] += one[i] / audio.numberOfChannels
    }
    return new Sound(samples)
  } catch (error) {
    if (error.name === 'EncodingError') return null
    throw error
  }
}

export class Sound {
  constructor(samples) {
    this.samples = samples
    this.spectrum = new Spectrum(FRAME)
    this.coarse = new Float32Array(2 * Math.ceil(samples.length / BLOCK)) // least, greatest of each block
    for (let i = 0; i < samples.length; i++) {
      const at = 2 * Math.floor(i / BLOCK)
      if (samples[i] < this.coarse[at]) this.coarse[at] = samples[i]
      if (samples[i] > this.coarse[at + 1]) this.coarse[at + 1] = samples[i]
    }
  }

  get ms() {
    return (1000 * this.samples.length) / RATE_HZ
  }

  /** Least and greatest sample from one moment to another. */
  extremes(fromMs, toMs) {
    let [from, to] = [fromMs, toMs].map((ms) => Math.round((ms * RATE_HZ) / 1000))
    to = Math.min(Math.max(to, from + 1), this.samples.length)
    from = Math.max(0, from)
    let [least, most] = [0, 0]
    if (to - from > 4 * BLOCK) {
      for (let block = Math.floor(from / BLOCK); block < Math.ceil(to / BLOCK); block++) {
        least = Math.min(least, this.coarse[2 * block])
        most = Math.max(most, this.coarse[2 * block + 1])
      }
    } else {
      for (let i = from; i < to; i++) {
        least = Math.min(least, this.samples[i])
        most = Math.max(most, this.samples[i])
      }
    }
    return [least, most]
  }

  /** Levels (256,) at a moment, 0 to 255, of bins from 0 Hz to half the rate. */
  levels(ms, out) {
    this.spectrum.levels(this.samples, (ms * RATE_HZ) / 1000, out)
  }
}

/** For each of `rows` from the foot up, the first and the last bin that it shows: equally spaced in Hz, or in mel. */
export function binsOf(rows, scale, bins = FRAME / 2) {
  const mel = (hz) => 2595 * Math.log10(1 + hz / 700)
  const hz = (value) => 700 * (10 ** (value / 2595) - 1)
  const top = RATE_HZ / 2
  const edge = (row) => (scale === 'mel' ? hz((mel(top) * row) / rows) : (top * row) / rows) / (top / bins)
  return Array.from({ length: rows }, (_, row) => {
    const first = Math.min(bins - 1, Math.floor(edge(row)))
    return [first, Math.min(bins - 1, Math.max(first, Math.ceil(edge(row + 1)) - 1))]
  })
}
