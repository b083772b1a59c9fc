// A canvas as sharp as the screen. Knows sizes and the colours of the style sheet; nothing of what is drawn.

const CALM_MS = 500

/** Keep a canvas's pixels equal to the screen's. onResize() is called after each change; its content is then gone. */
export function sharp(canvas, onResize) {
  const context = canvas.getContext('2d')
  new ResizeObserver(([entry]) => {
    const ratio = devicePixelRatio
    canvas.width = Math.max(1, Math.round(entry.contentRect.width * ratio))
    canvas.height = Math.max(1, Math.round(entry.contentRect.height * ratio))
    onResize()
  }).observe(canvas)
  return context
}

/** The value of a custom property where `element` stands: `colour(row, '--tone')`. */
export function colour(element, property) {
  return getComputedStyle(element).getPropertyValue(property).trim()
}

export function isLight() {
  return matchMedia('(prefers-color-scheme: light)').matches
}

/** Call `change` when the reader's colour scheme changes. */
export function onScheme(change) {
  matchMedia('(prefers-color-scheme: light)').addEventListener('change', change)
}

/** Tells, each time it is asked, how long moving pictures stand, in ms: until there is news, or longer for who wants calm. */
export function pace() {
  const calm = matchMedia('(prefers-reduced-motion: reduce)')
  return () => (calm.matches ? CALM_MS : 0)
}
