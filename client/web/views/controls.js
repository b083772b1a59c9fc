// The head of the page: which way the sound comes in, which device, and the buttons. Knows what can be pressed when.

export function mount(root, { onInput, onListen, onServerListen, onServerClose, onFile, onPlay, onDismiss }) {
  const radios = [...root.querySelectorAll('input[name=input]')]
  const panels = [...root.querySelectorAll('.panel')]
  const device = root.querySelector('#device')
  const listen = root.querySelector('#listen')
  const serverDevice = root.querySelector('#server-device')
  const serverListen = root.querySelector('#server-listen')
  const serverClose = root.querySelector('#server-close')
  const file = root.querySelector('#file')
  const play = root.querySelector('#play')
  const live = root.querySelector('#live')
  const timeline = root.querySelector('#timeline')
  const main = root.querySelector('main')
  const notice = root.querySelector('#notice')

  for (const radio of radios) radio.addEventListener('change', () => onInput(radio.value))
  listen.addEventListener('click', () => onListen(device.value))
  serverListen.addEventListener('click', () => onServerListen(JSON.parse(serverDevice.value)))
  serverClose.addEventListener('click', onServerClose)
  play.addEventListener('click', onPlay)
  notice.querySelector('button').addEventListener('click', onDismiss)
  file.addEventListener('change', () => {
    if (file.files[0]) onFile(file.files[0])
    file.value = '' // so that the same file can be chosen again
  })
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
    if (event.dataTransfer.files[0]) onFile(event.dataTransfer.files[0])
  })

  return {
    update(state) {
      const { input, microphone, sources, upload, player } = state
      for (const radio of radios) radio.checked = radio.value === input
      for (const panel of panels) panel.hidden = panel.dataset.input !== input
      main.dataset.input = input
      live.hidden = input === 'file'
      timeline.hidden = input !== 'file'

      options(device, microphone.devices.length > 0 ? microphone.devices : [{ id: '', name: 'Default microphone' }])
      device.disabled = microphone.phase !== 'closed'
      listen.disabled = microphone.phase === 'asking' || microphone.refused !== null
      press(listen, microphone.phase === 'open')

      const choices = serverChoices(sources)
      options(serverDevice, choices.length > 0 ? choices : [{ id: 'null', name: 'No microphone' }])
      serverDevice.disabled = sources.following !== null || choices.length === 0
      serverListen.disabled = sources.following === null && choices.length === 0
      press(serverListen, sources.following !== null)
      serverClose.hidden = sources.following === null || sources.ours

      play.disabled = upload.phase !== 'done' || player.problem !== null
      put(play, player.playing ? 'Pause' : 'Play')

      const text = sentence(state)
      notice.hidden = text === null
      notice.querySelector('button').hidden = text !== state.notice?.text
      put(notice.querySelector('span'), text ?? '')
    },
  }
}

/** The one sentence that the reader needs most now, or null. */
export function sentence({ notice, input, microphone, sources, upload }) {
  if (notice) return notice.text
  if (input === 'microphone') return microphone.refused ?? microphone.problem
  if (input === 'server') return sources.problem
  return upload.phase === 'failed' ? upload.problem : null
}

/** What the server's picker offers: [{id: JSON of a choice, name}], those already open first. */
export function serverChoices({ sources, devices }) {
  return [
    ...sources.map(({ id, opened }) => ({
      id: JSON.stringify({ source: id }),
      name: `${opened?.device ?? id} (open)`,
    })),
    ...devices.map((device) => ({ id: JSON.stringify({ device: device.name }), name: device.name })),
  ]
}

function options(select, wanted) {
  const key = JSON.stringify(wanted)
  if (select.dataset.key === key) return
  select.dataset.key = key
  const chosen = select.value
  select.replaceChildren(...wanted.map(({ id, name }) => new Option(name, id)))
  if (wanted.some(({ id }) => id === chosen)) select.value = chosen
}

function press(button, listening) {
  button.setAttribute('aria-pressed', listening)
  put(button, listening ? 'Stop' : 'Listen')
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text
}
