// A power spectrum for pictures of a file: a plain radix-2 FFT. Pure.

export class Spectrum {
  /** size: of a frame, a power of two. */
  constructor(size) {
    this.size = size
    this.window = Float32Array.from({ length: size }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / size))
    this.cos = Float32Array.from({ length: size / 2 }, (_, i) => Math.cos((2 * Math.PI * i) / size))
    this.sin = Float32Array.from({ length: size / 2 }, (_, i) => -Math.sin((2 * Math.PI * i) / size))
    this.re = new Float32Array(size)
    this.im = new Float32Array(size)
    this.order = Uint32Array.from({ length: size }, (_, i) => reversed(i, Math.log2(size)))
    this.scale = 4 / this.window.reduce((sum, value) => sum + value, 0) ** 2 // a sine of full scale is 0 dB
  }

  /** Levels 0 to 255 (-100 to 0 dB) of the frame that is centred on sample `at`, into `out` (size / 2,). */
  levels(samples, at, out) {
    const { size, re, im, cos, sin, window, order } = this
    const first = Math.round(at) - size / 2
    for (let i = 0; i < size; i++) {
      re[order[i]] = (samples[first + i] ?? 0) * window[i]
      im[i] = 0
    }
    for (let half = 1; half < size; half *= 2) {
      const step = size / (2 * half)
      for (let start = 0; start < size; start += 2 * half) {
        for (let i = 0; i < half; i++) {
          const [a, b] = [start + i, start + i + half]
          const x = re[b] * cos[i * step] - im[b] * sin[i * step]
          const y = re[b] * sin[i * step] + im[b] * cos[i * step]
          re[b] = re[a] - x
          im[b] = im[a] - y
          re[a] += x
          im[a] += y
        }
      }
    }
    for (let i = 0; i < size / 2; i++) {
      const power = (re[i] ** 2 + im[i] ** 2) * this.scale
      out[i] = Math.min(255, Math.max(0, (10 * Math.log10(power + 1e-12) + 100) * 2.55))
    }
  }
}

function reversed(index, bits) {
  let out = 0
  for (let i = 0; i < bits; i++) out |= ((index >> i) & 1) << (bits - 1 - i)
  return out
}
