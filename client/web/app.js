// The page, wired: one state, one way to change it, views that follow it. Knows every part by name and none from inside.

import * as access from './access.js'
import { Following } from './following.js'
import { FrameError, decode } from './frames.js'
import { History } from './history.js'
import { Listening } from './listening.js'
import * as microphone from './microphone.js'
import { Player } from './player.js'
import * as service from './service.js'
import { INITIAL, reduce } from './state.js'
import { classify } from './upload.js'
import * as announcer from './views/announcer.js'
import * as controls from './views/controls.js'
import * as gate from './views/gate.js'
import * as lanes from './views/lanes.js'
import * as log from './views/log.js'
import * as meter from './views/meter.js'
import * as ruler from './views/ruler.js'
import * as spectrogram from './views/spectrogram.js'
import * as stage from './views/stage.js'
import * as status from './views/status.js'
import * as timeline from './views/timeline.js'

const WINDOW_S = 10 // what the lanes and the spectrogram show
const SETTLE_MS = 600 // after the last news, one more picture: views that draw less often than news come catch up

const $ = (selector) => document.querySelector(selector)
let state = INITIAL
let history = null // the frames of the session that is heard now
let asked = false // is a picture due?
let settling = null

function dispatch(message) {
  const before = state
  state = reduce(state, message)
  if (state === before) return
  if (state.session !== before.session && state.session?.shape) history = remember(state.session)
  news()
}

function onFrames(buffer) {
  if (!history) return
  try {
    history.feed(decode(buffer, state.session.shape))
  } catch (error) {
    if (!(error instanceof FrameError)) throw error
    dispatch({ type: 'notice', text: error.message })
  }
  news()
}

function remember({ rateHz, samplesPerFrame, shape }) {
  const frames = Math.round((WINDOW_S * rateHz) / samplesPerFrame)
  return new History({ frames, bands: shape.bands, labels: shape.labels, samplesPerFrame })
}

function news() {
  draw()
  clearTimeout(settling)
  settling = setTimeout(draw, SETTLE_MS)
}

function draw() {
  if (asked) return
  asked = true
  requestAnimationFrame(() => {
    asked = false
    for (const view of views) view.update(state, history)
  })
}

async function onFile(file) {
  await stopListening()
  dispatch({ type: 'input', input: 'file' })
  player.load(file)
  const about = { name: file.name, size: file.size }
  dispatch({ type: 'upload', phase: 'sending', share: 0, file: about })
  try {
    const { events, summary } = await classify(file, (share) =>
      dispatch({ type: 'upload', phase: share < 1 ? 'sending' : 'hearing', share, file: about }),
    )
    dispatch({ type: 'upload', phase: 'done', file: about, events, summary })
  } catch (error) {
    if (!(error instanceof service.ServiceError)) throw error
    dispatch({ type: 'upload', phase: 'failed', file: about, problem: error.message })
  }
}

async function stopListening() {
  player.pause()
  await listening.stop()
  await following.stop()
}

async function onInput(input) {
  await stopListening()
  dispatch({ type: 'input', input })
  if (input === 'server') await following.look()
}

async function greet() {
  dispatch({ type: 'microphone', refused: microphone.whyNot(window) })
  if (!state.microphone.refused) {
    const refresh = async () => dispatch({ type: 'microphone', devices: await microphone.devices() })
    navigator.mediaDevices.addEventListener('devicechange', refresh)
    await refresh()
  }
  await comeIn()
}

async function comeIn() {
  try {
    dispatch({ type: 'info', info: await service.info() })
  } catch (error) {
    if (!(error instanceof service.ServiceError)) throw error
    if (!(error instanceof service.NotLetIn)) return dispatch({ type: 'notice', text: error.message })
    const tried = access.headers().Authorization !== undefined
    access.forget()
    dispatch({ type: 'access', problem: tried ? error.message : null })
  }
}

const player = new Player($('audio'), dispatch)
const listening = new Listening({ dispatch, onFrames })
const following = new Following({ dispatch, onFrames })
const views = [
  gate.mount($('#gate'), {
    onToken: (token) => {
      access.keep(token)
      comeIn()
    },
  }),
  controls.mount(document.body, {
    onInput,
    onFile,
    onListen: (device) => (state.microphone.phase === 'open' ? listening.stop() : listening.start(device)),
    onServerListen: (choice) => (state.sources.following ? following.stop() : following.start(choice)),
    onServerClose: () => following.close(),
    onPlay: () => player.toggle(),
    onDismiss: () => dispatch({ type: 'dismiss' }),
  }),
  stage.mount($('#stage')),
  announcer.mount($('#announcer')),
  meter.mount($('.meter'), { onClearClips: () => dispatch({ type: 'clear_clips' }) }),
  spectrogram.mount($('.spectrogram'), { again: draw }),
  lanes.mount($('#live'), { onOrder: (order) => dispatch({ type: 'order', order }), again: draw }),
  timeline.mount($('#timeline'), { onSeek: (ms) => player.seek(ms) }),
  log.mount($('.log'), {
    onClear: () => dispatch({ type: 'clear_events' }),
    onNotice: (text) => dispatch({ type: 'notice', text }),
  }),
  status.mount($('.foot'), {
    onRetry: () => (state.input === 'server' ? following : listening).retryNow(),
    again: draw,
  }),
]
ruler.mount($('#live .ticks'), WINDOW_S)
draw()
greet()
