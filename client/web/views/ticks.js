// Where the marks of a time axis stand. Pure.

const STEPS_MS = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000]
const MOST = 9

/** Round moments within `totalMs` from `fromMs` on, at most nine steps. */
export function marks(totalMs, fromMs = 0) {
  const step = STEPS_MS.find((one) => totalMs / one <= MOST) ?? 3_600_000 * Math.ceil(totalMs / 3_600_000 / MOST)
  const first = Math.ceil(fromMs / step)
  return Array.from({ length: Math.floor((fromMs + totalMs) / step) - first + 1 }, (_, k) => (first + k) * step)
}
