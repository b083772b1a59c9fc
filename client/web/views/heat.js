// From a level of 0 to 255 to the colour of a spectrogram's dot. Pure.

// Stops are [position, red, green, blue]: from the panel's own ground to what is loudest.
const STOPS = {
  dark: [
    [0, 15, 18, 23],
    [0.25, 30, 35, 72],
    [0.5, 112, 45, 106],
    [0.72, 221, 84, 71],
    [0.88, 255, 181, 71],
    [1, 255, 246, 214],
  ],
  light: [
    [0, 251, 249, 244],
    [0.25, 238, 219, 186],
    [0.5, 226, 160, 92],
    [0.72, 184, 78, 62],
    [0.88, 104, 36, 78],
    [1, 36, 16, 44],
  ],
}

// The part of the scale that is drawn: below is ground, above is the last stop. 255 is 0 dB, 0 is -100 dB.
const QUIET = 40
const LOUD = 215

/** RGBA for every level, as the 32-bit words of a little-endian ImageData. scheme: `dark` or `light`. */
export function heat(scheme) {
  const stops = STOPS[scheme]
  return Uint32Array.from({ length: 256 }, (_, level) => {
    const x = Math.min(1, Math.max(0, (level - QUIET) / (LOUD - QUIET)))
    const above = Math.max(
      1,
      stops.findIndex(([position]) => position >= x),
    )
    const [x0, ...from] = stops[above - 1]
    const [x1, ...to] = stops[above]
    const [r, g, b] = from.map((value, i) => Math.round(value + ((to[i] - value) * (x - x0)) / (x1 - x0)))
    return (255 << 24) | (b << 16) | (g << 8) | r
  })
}

/** Where a frequency lies between the bands' centres: a band index with a fraction, or null outside them. */
export function bandOf(hz, centresHz) {
  const above = centresHz.findIndex((centre) => centre >= hz)
  if (above < 0 || (above === 0 && centresHz[0] > hz)) return null
  if (above === 0) return 0
  const [below, over] = [centresHz[above - 1], centresHz[above]]
  return above - 1 + (hz - below) / (over - below)
}

/** The frequencies of `hz` that an axis has room for: [{hz, at: 0 at the foot, 1 at the top}], from the highest down. */
export function axisMarks(hz, centresHz, apart) {
  const marks = []
  for (const one of [...hz].sort((a, b) => b - a)) {
    const band = bandOf(one, centresHz)
    if (band === null) continue
    const at = (band + 0.5) / centresHz.length
    if (marks.length === 0 || marks.at(-1).at - at >= apart) marks.push({ hz: one, at })
  }
  return marks
}
