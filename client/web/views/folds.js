// The pictures that can be folded away: each has its name as a button. Knows which are folded.

export function mount(root, { onFold }) {
  const buttons = [...root.querySelectorAll('button.fold')]
  for (const button of buttons) button.addEventListener('click', () => onFold(button.dataset.fold))
  let folded = null

  return {
    update(state) {
      if (folded === state.folded) return
      folded = state.folded
      for (const button of buttons) {
        const closed = folded.includes(button.dataset.fold)
        button.setAttribute('aria-expanded', !closed)
        button.closest('.row').dataset.folded = closed
      }
    },
  }
}
