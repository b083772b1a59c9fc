// The head of the page: the places, where the sound comes from, and the button that begins. Knows what can be pressed when.

import { isListening } from '../state.js'

export function mount(root, { onListen, onFiles, onDismiss, onLook }) {
  const places = [...root.querySelectorAll('.places a')]
  const sections = [...root.querySelectorAll('main > [data-place]')]
  const main = root.querySelector('main')
  const input = root.querySelector('#input')
  const listen = root.querySelector('#listen')
  const notice = root.querySelector('#notice')
  let last = null

  listen.addEventListener('click', () => onListen(JSON.parse(input.value)))
  input.addEventListener('focus', onLook)
  notice.querySelector('button').addEventListener('click', onDismiss)
  root.addEventListener('dragover', (event) => {
    event.preventDefault()
    root.dataset.drag = true
  })
  root.addEventListener('dragleave', (event) => {
    if (!event.relatedTarget) delete root.dataset.drag
  })
  root.addEventListener('drop', (event) => {
    event.preventDefault()
    delete root.dataset.drag
    if (event.dataTransfer.files.length > 0) onFiles(event.dataTransfer.files)
  })

  return {
    update(state) {
      if (last === state) return
      last = state
      const { place, microphone, sources } = state
      for (const link of places) {
        if (link.hash === `#${place}`) link.setAttribute('aria-current', 'page')
        else link.removeAttribute('aria-current')
      }
      main.dataset.place = place
      for (const section of sections) section.hidden = section.dataset.place !== place

      const listening = isListening(state)
      const choices = inputs(state)
      options(input, choices)
      input.disabled = listening
      listen.disabled = !listening && (microphone.phase === 'asking' || choices.every(({ items }) => items.length === 0))
      listen.setAttribute('aria-pressed', listening)
      put(listen, listening ? 'Stop' : 'Listen')
      listen.dataset.live = state.link.phase === 'live'

      const text = sentence(state)
      notice.hidden = text === null
      notice.querySelector('button').hidden = text !== state.notice?.text
      put(notice.querySelector('span'), text ?? '')
    },
  }
}

/** The one sentence that the reader needs most now, or null. */
export function sentence({ notice, input, microphone, sources }) {
  if (notice) return notice.text
  if (input === 'server') return sources.problem
  return microphone.refused ?? microphone.problem
}

/** What the sound can come from, in groups: [{name, items: [{id: JSON of a choice, name}]}]. */
export function inputs({ microphone, sources }) {
  const devices = microphone.devices.length > 0 ? microphone.devices : [{ id: '', name: 'Default microphone' }]
  return [
    {
      name: 'This browser',
      items: microphone.refused
        ? []
        : devices.map((device) => ({ id: JSON.stringify({ browser: device.id }), name: device.name })),
    },
    {
      name: 'The server listens to',
      items: sources.sources.map(({ id, name }) => ({ id: JSON.stringify({ source: id }), name: name ?? id })),
    },
    {
      name: 'The server could listen to',
      items: sources.devices.map(({ name }) => ({ id: JSON.stringify({ device: name }), name })),
    },
  ]
}

function options(select, groups) {
  const key = JSON.stringify(groups)
  if (select.dataset.key === key) return
  select.dataset.key = key
  const chosen = select.value
  select.replaceChildren(
    ...groups
      .filter(({ items }) => items.length > 0)
      .map(({ name, items }) => {
        const group = document.createElement('optgroup')
        group.label = name
        group.append(...items.map((item) => new Option(item.name, item.id)))
        return group
      }),
  )
  if (groups.some(({ items }) => items.some(({ id }) => id === chosen))) select.value = chosen
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text
}
