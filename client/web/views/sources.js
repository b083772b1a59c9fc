// The server's sources: a card each, to rename, mute, follow or remove; a form to add one. Knows sources; nothing of sound.

const KINDS = { microphone: 'microphone', stream: 'network stream' }

/** How a source is, in a few words. */
export function condition({ state, detail, muted, retry_in_ms: retry }) {
  if (muted) return 'muted'
  const again = retry ? `, again in ${Math.ceil(retry / 1000)} s` : ''
  return detail ? `${state}: ${detail}${again}` : state
}

export function mount(root, { onAdd, onChange, onRemove, onFollow }) {
  const list = root.querySelector('ul')
  const problem = root.querySelector('.sources-problem')
  const form = root.querySelector('form')
  const { device, address, name } = form.elements
  const cards = new Map() // id -> card

  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    const url = address.value.trim()
    const spec = url ? { kind: 'stream', url } : { kind: 'microphone', device: device.value || null }
    if (await onAdd({ ...spec, name: name.value.trim() || null })) form.reset()
  })

  function card(id) {
    const row = document.createElement('li')
    const title = document.createElement('input')
    title.setAttribute('aria-label', `Name of ${id}`)
    title.maxLength = 64
    title.addEventListener('change', () => onChange(id, { name: title.value.trim() || null }))
    const about = document.createElement('p')
    const [follow, mute, remove] = ['Follow', 'Mute', 'Remove'].map((text) => {
      const button = document.createElement('button')
      button.type = 'button'
      button.textContent = text
      return button
    })
    follow.addEventListener('click', () => onFollow(id))
    mute.addEventListener('click', () => onChange(id, { muted: mute.getAttribute('aria-pressed') !== 'true' }))
    remove.addEventListener('click', () => onRemove(id))
    row.append(title, about, follow, mute, remove)
    list.append(row)
    return { row, title, about, follow, mute }
  }

  let last = null
  return {
    update({ sources }) {
      if (last === sources) return
      last = sources
      problem.textContent = sources.problem ?? ''
      for (const [id, { row }] of cards) {
        if (sources.sources.some((one) => one.id === id)) continue
        row.remove()
        cards.delete(id)
      }
      for (const source of sources.sources) {
        if (!cards.has(source.id)) cards.set(source.id, card(source.id))
        const { row, title, about, follow, mute } = cards.get(source.id)
        row.dataset.state = source.muted ? 'muted' : source.state
        if (document.activeElement !== title) title.value = source.name ?? source.id
        const what = source.url ?? source.opened?.device ?? source.device ?? 'the default microphone'
        about.textContent = `${KINDS[source.kind] ?? source.kind}, ${what}. ${condition(source)}`
        follow.disabled = sources.following === source.id
        mute.setAttribute('aria-pressed', source.muted)
      }
      root.querySelector('.sources-empty').hidden = sources.sources.length > 0
      const wanted = [['', 'the default microphone'], ...sources.devices.map(({ name: one }) => [one, one])]
      const key = JSON.stringify(wanted)
      if (device.dataset.key === key) return
      device.dataset.key = key
      device.replaceChildren(...wanted.map(([value, text]) => new Option(text, value)))
    },
  }
}
