// The time axis under the live spectrogram: seconds before now. Draws once.

const STEP_S = 2

export function mount(root, seconds) {
  const count = Math.floor(seconds / STEP_S)
  root.replaceChildren(
    ...Array.from({ length: count + 1 }, (_, k) => {
      const ago = seconds - k * STEP_S
      const mark = document.createElement('span')
      mark.textContent = ago === 0 ? 'now' : `\u2212${ago} s`
      mark.style.left = `${(100 * (seconds - ago)) / seconds}%`
      return mark
    }),
  )
}
