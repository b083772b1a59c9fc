// Numbers and names as people read them. Knows units and words; nothing of the DOM or the state.

const MINUS = '\u2212'

/** A position in the audio: 6900 -> "0:06.9", 3723400 -> "1:02:03.4". */
export function position(ms) {
  const tenths = Math.max(0, Math.round(ms / 100))
  const seconds = Math.floor(tenths / 10)
  const s = String(seconds % 60).padStart(2, '0')
  const m = Math.floor(seconds / 60) % 60
  const h = Math.floor(seconds / 3600)
  const head = h > 0 ? `${h}:${String(m).padStart(2, '0')}` : String(m)
  return `${head}:${s}.${tenths % 10}`
}

/** A length of time: 84.2 -> "84 ms", 1240 -> "1.2 s", 83000 -> "1 min 23 s". */
export function duration(ms) {
  if (ms < 999.5) return `${Math.round(ms)} ms`
  if (ms < 59950) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
}

/** A level: -23.42 -> "−23.4 dBFS"; null, digital silence, -> "silence". */
export function dbfs(level) {
  if (level === null || level === undefined) return 'silence'
  return `${signed(level, 1)} dBFS`
}

/** A number with a true minus sign. */
export function signed(value, digits = 0) {
  const text = Math.abs(value).toFixed(digits)
  return value < 0 && Number(text) !== 0 ? `${MINUS}${text}` : text
}

/** A frequency for an axis: 500 -> "500 Hz", 2000 -> "2 kHz". */
export function hertz(hz) {
  return hz >= 1000 ? `${Number((hz / 1000).toFixed(1))} kHz` : `${Math.round(hz)} Hz`
}

/** A score: 0.834 -> "83 %". */
export function percent(score) {
  return `${Math.round(100 * score)} %`
}

/** A size: 1536000 -> "1.5 MB". */
export function bytes(count) {
  if (count < 1000) return `${count} bytes`
  if (count < 999_500) return `${Math.round(count / 1000)} kB`
  return `${(count / 1e6).toFixed(count < 99.5e6 ? 1 : 0)} MB`
}

/** A label as words: "french_horn" -> "french horn". */
export function words(label) {
  return label.replaceAll('_', ' ')
}

/** The time of day of an ISO instant, in the reader's own zone: "14:04:12". */
export function timeOfDay(iso, zone) {
  return new Date(iso).toLocaleTimeString('en-GB', { timeZone: zone, hour12: false })
}

/** "a", "a and b", "a, b and c". */
export function list(items) {
  if (items.length < 2) return items.join('')
  return `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`
}
