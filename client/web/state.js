// What the page knows, as one value, and how each message changes it: (state, message) -> state. Pure: no DOM, no
// socket, no clock; a message that needs a time carries `at`, in milliseconds.
//
// Messages of the server keep their own `type` (docs/protocol.md). Those of the page itself: `info`, `access`, `place`, `input`,
// `link`, `microphone`, `sources`, `files`, `file`, `file_open`, `file_removed`, `then`, `player`, `unheard`, `notice`, `dismiss`, `clear_events`, `clear_clips`, `order`,
// `scale`, `neuron`, `fold`, `wish`, `asked`, `comparing`, `other` (a message of the second model's session, or null: there is none).

import { abandon, merge, sounding } from './eventlog.js'
import { layout } from './frames.js'

const HOLD_MS = 1500 // how long the meter keeps a peak
const LATENCIES = 16 // onsets over which the latency is told
const GAPS = 100 // kept for the pictures
const SUPPRESSED_MS = 300 // how often the list of what was held back changes: faster cannot be read

const NONE = []
const LOST = new Set(['waiting', 'connecting'])

const SILENT_SESSION = {
  session: null, // {id, rateHz, samplesPerFrame, shape: layout of frames} of the stream now heard
  level: null, // {rmsDbfs, peakDbfs, holdDbfs, heldAt, silentMs, at}; null before the first
  health: { lagMs: null, realtime: null, droppedMs: 0, unheardMs: 0, gaps: 0 },
  latencies: [], // [{algorithmMs, serverMs}] of the newest onsets
  gaps: [], // [{from_sample, samples, where, reason}] of this session
  suppressed: [], // [{label, score, why}] that were not named, the strongest first
  suppressedAt: 0,
}

export const INITIAL = {
  place: 'now', // now | then | files | sources
  input: 'microphone', // microphone: of this browser | server: one of its sources
  order: 'family', // family | sounding | name
  scale: 'mel', // mel | linear
  neuron: null, // the answer of v1/neurons of the one that is looked at
  folded: [], // families and pictures that are folded
  detect: null, // {labels, thresholds: {label: {on, off}}}: what the engine uses now, as it told
  own: null, // the same, of the model
  wishes: {}, // label -> {on, off, detected}, each optional: what the reader wants otherwise than the model
  asked: null, // id of the `configure` that was not answered
  model: null, // {id, sha256, labels: [{name, family}]}
  bandsHz: [], // centres of the spectrogram's bands
  formats: [], // that a file may have
  second: null, // {id, labels} of the model to compare, where the service has one
  comparing: false, // is it to hear the same sound?
  other: null, // what is known of its session: a state like this one
  service: '', // its name and version
  access: { asked: false, problem: null }, // does the service ask for a token, and what of the last one
  link: { phase: 'idle', attempt: 0, retryAt: null, detail: null }, // idle connecting live stopping waiting failed
  microphone: { phase: 'closed', device: null, devices: [], problem: null, refused: null }, // closed asking open
  sources: { sources: [], devices: [], problem: null, following: null, ours: false }, // ours: opened by this page
  files: [], // [{id, name, size, phase: waiting | sending | hearing | done | failed, share, events, summary, problem}]
  file: null, // id of the one that is open
  then: {
    day: null, // YYYY-MM-DD in the reader's zone
    label: '', // filters: '' is all
    source: '',
    hour: null, // of the day; null: the whole day
    glance: null, // the answer of v1/history/summary for the day
    events: [], // of v1/history, the newest first
    next: null, // cursor of the following page
    open: null, // id of the event that is looked at
    loading: false,
    problem: null,
  },
  player: { playing: false, positionMs: 0, problem: null },
  events: [],
  clips: 0, // level messages with clipped samples since the mark was last cleared
  sourceState: null, // {state, detail, muted} of the server's own microphone
  notice: null, // {text} worth a sentence
  ...SILENT_SESSION,
}

const HANDLERS = {
  info: (state, { info }) => ({
    ...state,
    model: modelOf(info.model),
    bandsHz: info.bands_hz,
    formats: info.upload.formats,
    second: info.compare ? modelOf(info.compare, state.second) : null,
    service: `Spiccato ${info.version}`,
    own: info.detect,
    detect: state.detect ?? info.detect,
    access: INITIAL.access,
  }),
  access: (state, { problem }) => ({ ...state, access: { asked: true, problem } }),
  input: (state, { input }) => ({ ...state, input, notice: null, wishes: {}, detect: state.own, asked: null }),
  comparing: (state, { on }) => ({ ...state, comparing: on }),
  other: (state, { message }) => ({
    ...state,
    other: message && reduce(state.other ?? { ...INITIAL, model: state.second }, message),
  }),
  order: (state, { order }) => ({ ...state, order }),
  scale: (state, { scale }) => ({ ...state, scale }),
  neuron: (state, { neuron }) => ({ ...state, neuron }),
  fold: (state, { name, names }) => ({ ...state, folded: names ?? toggled(state.folded, name) }),
  wish: (state, { type, label, ...wish }) => ({ ...state, wishes: wished(state.wishes, label, wish) }),
  asked: (state, { id }) => ({ ...state, asked: id }),
  configured: (state, { id, detect }) => ({
    ...state,
    detect: { ...detect, thresholds: { ...state.detect?.thresholds, ...detect.thresholds } }, // of what is off: the last ones
    asked: id === state.asked ? null : state.asked,
    wishes: state.input === 'server' ? unmet(state.wishes, detect) : state.wishes, // a source has other listeners too
  }),
  configure_failed: (state, { errors }) => ({
    ...state,
    asked: null,
    wishes: {},
    notice: { text: errors.map((error) => error.message).join(' ') },
  }),
  scores: (state, { suppressed, at }) =>
    at - state.suppressedAt < SUPPRESSED_MS ? state : { ...state, suppressed, suppressedAt: at },
  resumed: (state, { effective }) => ({ ...state, detect: effective.detect }),
  microphone: (state, { type, ...change }) => ({ ...state, microphone: { ...state.microphone, ...change } }),
  sources: (state, { type, ...change }) => ({ ...state, sources: { ...state.sources, ...change } }),
  place: (state, { place }) => ({ ...state, place }),
  files: (state, { added }) => ({
    ...state,
    files: [...state.files, ...added.map((file) => ({ ...file, phase: 'waiting', share: 0 }))],
  }),
  file: filed,
  file_open: (state, { id }) => ({ ...state, file: id, player: INITIAL.player }),
  file_removed: (state, { id }) => ({
    ...state,
    files: state.files.filter((file) => file.id !== id),
    file: state.file === id ? null : state.file,
  }),
  then: (state, { type, ...change }) => ({ ...state, then: { ...state.then, ...change } }),
  player: (state, { type, ...change }) => ({ ...state, player: { ...state.player, ...change } }),
  notice: (state, { text }) => ({ ...state, notice: { text } }),
  dismiss: (state) => ({ ...state, notice: null }),
  clear_events: (state) => ({
    ...state,
    events: sounding(state.events)
      .map((now) => now.event)
      .reverse(),
  }),
  clear_clips: (state) => ({ ...state, clips: 0 }),
  unheard: (state, { ms }) => ({
    ...state,
    health: { ...state.health, unheardMs: state.health.unheardMs + ms },
  }),
  link: followLink,
  started,
  event: heard,
  level,
  heartbeat: (state, { lag_ms, realtime_factor, dropped_ms }) => ({
    ...state,
    health: { ...state.health, lagMs: lag_ms, realtime: realtime_factor, droppedMs: dropped_ms },
  }),
  gap: (state, { from_sample, samples, where, reason }) => ({
    ...state,
    health: { ...state.health, gaps: state.health.gaps + 1 },
    gaps: [...state.gaps, { from_sample, samples, where, reason }].slice(-GAPS),
  }),
  source: (state, { source: id, state: now, detail, retry_in_ms, name, muted }) => {
    const told = { state: now, detail, retry_in_ms, name, muted }
    const known = state.sources.sources
    const sources = known.map((one) => (one.id === id ? { ...one, ...told } : one)) // its card says so too
    return { ...state, sourceState: { state: now, detail, muted }, sources: { ...state.sources, sources } }
  },
  warning: (state, { message }) => ({ ...state, notice: { text: message } }),
  error: (state, { message }) => ({ ...state, notice: { text: message } }),
  draining: (state) => ({ ...state, notice: { text: 'The server is about to stop.' } }),
}

export function reduce(state, message) {
  const handler = HANDLERS[message.type]
  return handler ? handler(state, message) : state
}

/** The labels that sound now, [{label, onsetMs, event}]; none while nobody knows. */
export function soundingNow(state) {
  return LOST.has(state.link.phase) ? NONE : sounding(state.events)
}

/** Is sound on its way in from a microphone? */
export function isListening(state) {
  return state.microphone.phase !== 'closed' || state.sources.following !== null
}

/** A file's news; the first one that is heard opens by itself. */
function filed(state, { type, id, ...change }) {
  const files = state.files.map((file) => (file.id === id ? { ...file, ...change } : file))
  const known = files.some((file) => file.id === id)
  return { ...state, files, file: state.file ?? (known && change.phase === 'done' ? id : null) }
}

/** The model as the views need it; the very same object where nothing has changed, so that no lane is built anew. */
function modelOf({ name, version, sha256, labels, families }, before = null) {
  const model = {
    id: `${name} ${version}`,
    sha256,
    labels: labels.map((label, i) => ({ name: label, family: families[i] })),
  }
  return JSON.stringify(model) === JSON.stringify(before) ? before : model
}

/**
 * The rules of a label: what the reader wants, {rules: {on, off}, detected, own: the model's}; whether the engine listens for
 * it now; and whether the engine's answer is pending.
 */
export function rulesOf(state, label) {
  const wish = state.wishes[label] ?? {}
  const engine = state.detect ? state.detect.labels.includes(label) : true
  const own = state.own?.thresholds[label] ?? { on: 0.5, off: 0.4 }
  const told = state.detect?.thresholds[label] ?? own
  const rules = { on: wish.on ?? told.on, off: wish.off ?? told.off }
  return {
    wanted: {
      rules,
      detected: wish.detected ?? engine,
      own: rules.on === own.on && rules.off === own.off,
    },
    model: own,
    engine,
    pending: state.asked !== null,
  }
}

/** What to detect, as in `start` and `configure`: nothing where the reader has no wishes. */
export function detectOf(state) {
  if (Object.keys(state.wishes).length === 0) return {}
  const labels = state.model.labels.map(({ name }) => name)
  const detected = labels.filter((label) => rulesOf(state, label).wanted.detected)
  return {
    labels: detected,
    thresholds: Object.fromEntries(detected.map((label) => [label, rulesOf(state, label).wanted.rules])),
  }
}

/** The same for `PATCH /v1/sources`, where what is left out is the model's. */
export function sourceDetectOf(state) {
  const rules = state.model.labels.map(({ name }) => [name, rulesOf(state, name).wanted])
  const detected = rules.filter(([, wanted]) => wanted.detected).map(([name]) => name)
  return {
    labels: detected.length === rules.length ? null : detected,
    thresholds: Object.fromEntries(rules.filter(([, wanted]) => !wanted.own).map(([name, wanted]) => [name, wanted.rules])),
  }
}

/** The wishes that the engine does not fulfil. */
function unmet(wishes, { labels, thresholds }) {
  const open = Object.entries(wishes).filter(([label, { on, off, detected }]) => {
    const told = thresholds[label]
    if (detected !== undefined && detected !== labels.includes(label)) return true
    return told && ((on !== undefined && on !== told.on) || (off !== undefined && off !== told.off))
  })
  return Object.fromEntries(open)
}

function wished(wishes, label, wish) {
  const { [label]: before, ...others } = wishes
  return { ...others, [label]: { ...before, ...wish } }
}

function toggled(names, name) {
  return names.includes(name) ? names.filter((one) => one !== name) : [...names, name]
}

/** kept: the session may go on over the next connection, so what sounded is not over. */
function followLink(state, { phase, attempt = 0, retryAt = null, detail = null, kept = false }) {
  const link = { phase, attempt, retryAt, detail }
  if (phase === 'live' || phase === 'stopping') return { ...state, link }
  if (kept) return { ...state, link, level: null, suppressed: NONE }
  const events = state.session
    ? abandon(state.events, state.session.id, phase === 'idle' ? 'not followed' : 'connection lost')
    : state.events
  return {
    ...state,
    link,
    events,
    level: null,
    suppressed: NONE,
    asked: null,
    sourceState: null,
    session: phase === 'connecting' ? null : state.session,
  }
}

function started(state, message) {
  const rateHz = message.effective.audio.sample_rate
  const shape = message.frame ? layout(message.frame) : null
  return {
    ...state,
    ...SILENT_SESSION,
    detect: message.effective.detect,
    asked: null,
    model: modelOf(message.model, state.model),
    health: { ...SILENT_SESSION.health, unheardMs: state.health.unheardMs },
    session: {
      id: message.session,
      rateHz,
      shape,
      samplesPerFrame: shape ? (shape.every * message.hop_ms * rateHz) / 1000 : 0,
    },
  }
}

function heard(state, message) {
  const events = merge(state.events, message)
  if (message.phase !== 'onset' || !state.session) return { ...state, events }
  const algorithmMs = ((message.decided_sample - message.onset_sample) * 1000) / state.session.rateHz
  if (message.latency_ms === null) return { ...state, events }
  const latencies = [{ algorithmMs, serverMs: message.latency_ms }, ...state.latencies].slice(0, LATENCIES)
  return { ...state, events, latencies }
}

function level(state, { rms_dbfs, peak_dbfs, clipped, at }) {
  const before = state.level
  const kept = before && before.holdDbfs !== null && at - before.heldAt < HOLD_MS
  const holds = kept && (peak_dbfs === null || peak_dbfs < before.holdDbfs)
  return {
    ...state,
    clips: state.clips + (clipped ? 1 : 0),
    level: {
      rmsDbfs: rms_dbfs,
      peakDbfs: peak_dbfs,
      silentMs: rms_dbfs !== null ? 0 : before ? before.silentMs + at - before.at : 0,
      at,
      holdDbfs: holds ? before.holdDbfs : peak_dbfs,
      heldAt: holds ? before.heldAt : at,
    },
  }
}

/** Median of the algorithm's and the server's part of the latency over the newest onsets, or null before the first. */
export function latency(state) {
  if (state.latencies.length === 0) return null
  return {
    algorithmMs: median(state.latencies.map((one) => one.algorithmMs)),
    serverMs: median(state.latencies.map((one) => one.serverMs)),
  }
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
