// A piece of a recording, painted: its waveform and its spectrogram. Knows samples and canvases; nothing of events.

import { binsOf } from '../sound.js'
import { colour, isLight, onScheme, sharp } from './canvas.js'
import { heat } from './heat.js'

export class Soundprint {
  /** wave, spectrum: canvases. */
  constructor(wave, spectrum) {
    this.canvases = [wave, spectrum]
    this.sound = null
    this.piece = [0, 1] // ms
    this.scale = 'mel'
    const again = () => this.#paint()
    this.contexts = this.canvases.map((canvas) => sharp(canvas, again))
    onScheme(again)
  }

  /** sound: or null for none; piece: [from, to] in ms. */
  show(sound, piece, scale) {
    Object.assign(this, { sound, piece, scale })
    for (const canvas of this.canvases) canvas.parentElement.hidden = !sound
    this.#paint()
  }

  #paint() {
    if (!this.sound) return
    const [wave, spectrum] = this.contexts
    this.#wave(wave, wave.canvas)
    this.#spectrum(spectrum, spectrum.canvas)
  }

  #wave(context, canvas) {
    const { width, height } = canvas
    const [from, to] = this.piece
    context.fillStyle = colour(canvas, '--ground')
    context.fillRect(0, 0, width, height)
    context.fillStyle = colour(canvas, '--wave')
    for (let x = 0; x < width; x++) {
      const at = (share) => from + (share * (to - from)) / width
      const [least, most] = this.sound.extremes(at(x), at(x + 1))
      const top = (height / 2) * (1 - most)
      context.fillRect(x, top, 1, Math.max(1, (height / 2) * (1 - least) - top))
    }
  }

  #spectrum(context, { width, height }) {
    const [from, to] = this.piece
    const colours = heat(isLight() ? 'light' : 'dark')
    const image = context.createImageData(width, height)
    const pixels = new Uint32Array(image.data.buffer)
    const levels = new Float32Array(256)
    const bins = binsOf(height, this.scale)
    for (let x = 0; x < width; x++) {
      this.sound.levels(from + ((x + 0.5) * (to - from)) / width, levels)
      for (let row = 0; row < height; row++) {
        let level = 0
        for (let bin = bins[row][0]; bin <= bins[row][1]; bin++) level = Math.max(level, levels[bin])
        pixels[(height - 1 - row) * width + x] = colours[Math.round(level)]
      }
    }
    context.putImageData(image, 0, 0)
  }
}
