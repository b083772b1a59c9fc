// The question for a token, where the service asks for one. Knows one form.

export function mount(form, { onToken }) {
  const field = form.querySelector('#token')
  const problem = form.querySelector('.gate-problem')
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    onToken(field.value.trim())
    field.value = ''
  })

  return {
    update({ access }) {
      const appears = form.hidden && access.asked
      form.hidden = !access.asked
      if (problem.textContent !== (access.problem ?? '')) problem.textContent = access.problem ?? ''
      field.toggleAttribute('aria-invalid', access.problem !== null)
      if (appears) field.focus()
    },
  }
}
