// A canvas as sharp as the screen. Knows sizes and the colours of the style sheet; nothing of what is drawn.

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

/** Call `change` when the reader's colour scheme changes. */
export function onScheme(change) {
  matchMedia('(prefers-color-scheme: light)').addEventListener('change', change)
}

/** How often moving pictures may be drawn, in ms: whenever there is news, or twice a second for those who asked for calm. */
export function drawInterval() {
  return matchMedia('(prefers-reduced-motion: reduce)').matches ? 500 : 0
}
