// The page, wired: one state, one way to change it, views that follow it. Knows every part by name and none from inside.
//
// A view has `update(state)`, called when the state has changed, or `draw(scene)`, called for each picture, or both.

import * as access from './access.js'
import { Clock } from './clock.js'
import { FORMS, download, written } from './exports.js'
import { Files } from './files.js'
import { Following } from './following.js'
import { FrameError, decode } from './frames.js'
import { History } from './history.js'
import { Listening } from './listening.js'
import * as microphone from './microphone.js'
import { Past, dayAfter } from './past.js'
import { Player } from './player.js'
import * as service from './service.js'
import { INITIAL, detectOf, isListening, reduce, rulesOf, sourceDetectOf } from './state.js'
import * as announcer from './views/announcer.js'
import { pace } from './views/canvas.js'
import * as controls from './views/controls.js'
import * as envelope from './views/envelope.js'
import * as folds from './views/folds.js'
import * as gate from './views/gate.js'
import * as heldback from './views/heldback.js'
import * as lanes from './views/lanes.js'
import * as log from './views/log.js'
import * as marks from './views/marks.js'
import * as meter from './views/meter.js'
import * as neuronView from './views/neuron.js'
import * as raster from './views/raster.js'
import * as ruler from './views/ruler.js'
import * as shelf from './views/shelf.js'
import * as sourcesView from './views/sources.js'
import * as spectrogram from './views/spectrogram.js'
import * as stage from './views/stage.js'
import * as status from './views/status.js'
import * as then from './views/then.js'
import * as timeline from './views/timeline.js'
import * as title from './views/title.js'
import * as versus from './views/versus.js'
import * as wave from './views/wave.js'

const WINDOW_S = 10 // what the pictures show
const SPARE_S = 1 // that they remember beyond it
const TICK_MS = 120 // how often figures change: faster cannot be read
const UNSEEN_MS = 1000 // how often a page tells that nobody sees
const FOLDS = 'spiccato.folded'
const EXTENSIONS = { audacity: 'txt' }
const PLACES = ['now', 'then', 'files', 'sources']

const $ = (selector) => document.querySelector(selector)
let state = INITIAL
let history = null // the frames of the session that is heard now
let clock = null // where now stands on them
let other = null // the frames of the second model's session
let asked = false // is a picture due?
let ticked = 0
let shown = null // the state that the views show
let drawnAt = 0
const interval = pace()

function dispatch(message) {
  const before = state
  state = reduce(state, message)
  if (state === before) return
  if (state.session !== before.session && state.session?.shape) remember(state.session)
  if (state.other?.session !== before.other?.session) other = state.other?.session?.shape ? historyOf(state.other.session) : null
  if (state.comparing !== before.comparing) listening.compare()
  if (state.wishes !== before.wishes) wish()
  if (state.file !== before.file) player.load(files.files.get(state.file))
  draw()
}

function onFrames(buffer) {
  if (!history) return
  feed(history, buffer)
  clock.feed(history.written, performance.now())
  draw()
}

function onOther(buffer) {
  if (other) feed(other, buffer)
}

function feed(into, buffer) {
  try {
    into.feed(decode(buffer, into.shape))
  } catch (error) {
    if (!(error instanceof FrameError)) throw error
    dispatch({ type: 'notice', text: error.message })
  }
}

function remember(session) {
  history = historyOf(session)
  clock = new Clock(history.framesPerSecond)
}

function historyOf({ rateHz, samplesPerFrame, shape }) {
  const framesPerSecond = rateHz / samplesPerFrame
  const frames = Math.round((WINDOW_S + SPARE_S) * framesPerSecond)
  return new History({ frames, shape, samplesPerFrame, framesPerSecond })
}

/** What is drawn: the frames before `head`; of the second model those of the same moments. */
function sceneAt(head, ticking) {
  const window = (frames) => (frames ? WINDOW_S * frames.framesPerSecond : 1)
  const beside = history && other && {
    history: other,
    head: other.headAt(history.sampleAt(head)),
    frames: window(other),
    ticking,
  } // prettier-ignore
  return { history, head, frames: window(history), ticking, beside }
}

/** A picture at the next chance; further ones as long as something moves. Where nobody sees the page, what is told without. */
function draw() {
  if (document.hidden && performance.now() - ticked >= UNSEEN_MS) {
    ticked = performance.now()
    tell()
  }
  if (asked) return
  asked = true
  requestAnimationFrame((now) => {
    asked = false
    const head = clock ? clock.read(now, interval() > 0) : 0
    const ticking = now - ticked >= TICK_MS
    if (ticking) ticked = now
    if (shown !== state || ticking) tell()
    if (ticking || now - drawnAt >= interval()) {
      const scene = sceneAt(head, ticking)
      for (const view of views) view.draw?.(scene)
      drawnAt = now
    }
    if (clock?.moving) draw()
    else if (!ticking) setTimeout(draw, TICK_MS) // the last figures
  })
}

function tell() {
  for (const view of views) view.update?.(state, history)
  shown = state
}

let wishes = null // timer: a slider moves often

function wish() {
  clearTimeout(wishes)
  wishes = setTimeout(() => {
    if (state.link.phase !== 'live' || !state.session || Object.keys(state.wishes).length === 0) return
    if (state.input === 'server') return following.decide(sourceDetectOf(state))
    const id = `c${Date.now()}`
    dispatch({ type: 'asked', id })
    listening.configure(id, detectOf(state))
  }, 60)
}

function onFiles(given) {
  location.hash = '#files'
  files.add(given)
}

function onOpen(id) {
  dispatch({ type: 'file_open', id })
}

async function onPick(index) {
  try {
    const neuron = index === null ? null : await service.neuron(index)
    if (neuron && state.folded.includes('neuron')) onFold('neuron')
    dispatch({ type: 'neuron', neuron })
  } catch (error) {
    if (!(error instanceof service.ServiceError)) throw error
    dispatch({ type: 'notice', text: error.message })
  }
}

function onExport(form) {
  const file = state.files.find((one) => one.id === state.file)
  const name = `${file.name.replace(/\.[^.]*$/, '')}.${FORMS[form].extension}`
  download(written(form, file, state.service), name, FORMS[form].type)
}

async function onListen(choice) {
  if (isListening(state)) {
    await listening.stop()
    return following.stop()
  }
  const input = choice.browser === undefined ? 'server' : 'microphone'
  dispatch({ type: 'input', input })
  return input === 'server' ? following.start(choice) : listening.start(choice.browser)
}

async function onFollow(id) {
  if (isListening(state)) await onListen()
  location.hash = '#now'
  await onListen({ source: id })
}

/** The place that the address names. */
function arrive() {
  const place = location.hash.slice(1) || 'now'
  dispatch({ type: 'place', place: PLACES.includes(place) ? place : 'now' })
  if (place === 'sources') following.look()
  if (place === 'then') past.look({})
}

async function greet() {
  dispatch({ type: 'microphone', refused: microphone.whyNot(window) })
  if (!state.microphone.refused) {
    navigator.mediaDevices.addEventListener('devicechange', () => listening.changed())
    await listening.changed()
  }
  await comeIn()
}

async function comeIn() {
  try {
    dispatch({ type: 'info', info: await service.info() })
    await following.look()
  } catch (error) {
    if (!(error instanceof service.ServiceError)) throw error
    if (!(error instanceof service.NotLetIn)) return dispatch({ type: 'notice', text: error.message })
    const tried = access.headers().Authorization !== undefined
    access.forget()
    dispatch({ type: 'access', problem: tried ? error.message : null })
  }
}

function onFold(name) {
  dispatch({ type: 'fold', name })
  localStorage.setItem(FOLDS, JSON.stringify(state.folded))
}

function folded() {
  const kept = localStorage.getItem(FOLDS)
  if (kept) return JSON.parse(kept)
  return matchMedia('(max-width: 600px)').matches ? ['samples', 'envelope', 'spikes', 'neuron'] : ['neuron']
}

const player = new Player($('#player'), dispatch)
const past = new Past({ view: () => state.then, dispatch, onSound: (id, sound, blob) => pastView.sound(sound, blob) })
const pastView = then.mount($('.then'), {
  onLook: (change) => past.look(change),
  onStep: (days) => past.look({ day: dayAfter(state.then.day, days), hour: null }),
  onMore: () => past.more(),
  onOpen: (id) => past.open(id),
  onCorrect: (label) => past.correct(state.then.open, label),
  onExport: async (format) => {
    const blob = await past.export(format)
    if (blob) download(blob, `spiccato-${state.then.day}.${EXTENSIONS[format] ?? format}`, blob.type)
  },
})
const listening = new Listening({
  dispatch,
  onFrames,
  onOther,
  detect: () => detectOf(state),
  comparing: () => state.comparing,
})
const following = new Following({ dispatch, onFrames })
const files = new Files({ dispatch, onSound: () => opened.paint() })
const opened = timeline.mount($('#timeline'), {
  soundOf: (id) => files.sounds.get(id) ?? null,
  onSeek: (ms) => player.seek(ms),
  onPlay: () => player.toggle(),
  onExport,
})
const views = [
  gate.mount($('#gate'), {
    onToken: (token) => {
      access.keep(token)
      comeIn()
    },
  }),
  controls.mount(document.body, {
    onListen,
    onFiles,
    onLook: () => following.look(),
    onDismiss: () => dispatch({ type: 'dismiss' }),
  }),
  stage.mount($('#stage')),
  announcer.mount($('#announcer')),
  title.mount(document),
  heldback.mount($('.heldback')),
  meter.mount($('.meter'), { onClearClips: () => dispatch({ type: 'clear_clips' }) }),
  folds.mount($('#live'), { onFold }),
  wave.mount($('.samples'), { again: draw }),
  envelope.mount($('.envelope'), { again: draw }),
  spectrogram.mount($('.spectrogram'), { again: draw, onScale: (scale) => dispatch({ type: 'scale', scale }) }),
  raster.mount($('.spikes'), { again: draw, onPick }),
  neuronView.mount($('.neuron'), { again: draw, onPick }),
  lanes.mount($('#live'), {
    onOrder: (order) => dispatch({ type: 'order', order }),
    onFold,
    onRules: (label, rules) => dispatch({ type: 'wish', label, ...(rules ?? rulesOf(state, label).model) }),
    onDetect: (label, detected) => dispatch({ type: 'wish', label, detected }),
    again: draw,
  }),
  versus.mount($('.versus'), { onCompare: (on) => dispatch({ type: 'comparing', on }) }),
  marks.mount($('.marks')),
  shelf.mount($('.shelf'), { onFiles, onOpen, onRemove: (id) => files.remove(id) }),
  opened,
  pastView,
  sourcesView.mount($('.sources'), {
    onAdd: (spec) => following.add(spec),
    onChange: (id, patch) => following.change(id, patch),
    onRemove: (id) => following.remove(id),
    onFollow,
  }),
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
addEventListener('hashchange', arrive)
dispatch({ type: 'fold', names: folded() })
arrive()
greet()
