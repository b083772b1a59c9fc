// What the page knows, as one value, and how each message changes it: (state, message) -> state. Pure: no DOM, no
// socket, no clock; a message that needs a time carries `at`, in milliseconds.
//
// Messages of the server keep their own `type` (docs/protocol.md). Those of the page itself: `info`, `access`, `input`, `link`,
// `microphone`, `sources`, `upload`, `player`, `unheard`, `notice`, `dismiss`, `clear_events`, `clear_clips`, `order`.

import { abandon, merge, sounding, soundingAt } from './eventlog.js'
import { layout } from './frames.js'

const HOLD_MS = 1500 // how long the meter keeps a peak
const LATENCIES = 16 // onsets over which the latency is told

const NONE = []

const SILENT_SESSION = {
  session: null, // {id, rateHz, samplesPerFrame, shape: layout of frames} of the stream now heard
  level: null, // {rmsDbfs, peakDbfs, holdDbfs, heldAt, silentMs, at}; null before the first
  health: { lagMs: null, realtime: null, droppedMs: 0, unheardMs: 0, gaps: 0 },
  latencies: [], // [{algorithmMs, serverMs}] of the newest onsets
}

export const INITIAL = {
  input: 'microphone', // microphone | file | server
  order: 'family', // family | sounding | name
  model: null, // {id, labels: [{name, family, on: score, or null where it is not asked for}]}
  bandsHz: [], // centres of the spectrogram's bands
  formats: [], // that a file may have
  access: { asked: false, problem: null }, // does the service ask for a token, and what of the last one
  link: { phase: 'idle', attempt: 0, retryAt: null, detail: null }, // idle connecting live stopping waiting failed
  microphone: { phase: 'closed', device: null, devices: [], problem: null, refused: null }, // closed asking open
  sources: { sources: [], devices: [], problem: null, following: null, ours: false }, // ours: opened by this page
  upload: { phase: 'idle' }, // idle sending hearing done failed
  player: { playing: false, positionMs: 0, problem: null },
  events: [],
  clips: 0, // level messages with clipped samples since the mark was last cleared
  sourceState: null, // {state, detail} of the server's own microphone
  notice: null, // {text} worth a sentence
  ...SILENT_SESSION,
}

const HANDLERS = {
  info: (state, { info }) => ({
    ...state,
    model: modelOf(info.model, info.detect.thresholds),
    bandsHz: info.bands_hz,
    formats: info.upload.formats,
    access: INITIAL.access,
  }),
  access: (state, { problem }) => ({ ...state, access: { asked: true, problem } }),
  input: (state, { input }) => ({ ...state, input, notice: null }),
  order: (state, { order }) => ({ ...state, order }),
  microphone: (state, { type, ...change }) => ({ ...state, microphone: { ...state.microphone, ...change } }),
  sources: (state, { type, ...change }) => ({ ...state, sources: { ...state.sources, ...change } }),
  upload: uploaded,
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
  gap: (state) => ({ ...state, health: { ...state.health, gaps: state.health.gaps + 1 } }),
  source: (state, { state: name, detail }) => ({ ...state, sourceState: { state: name, detail } }),
  warning: (state, { message }) => ({ ...state, notice: { text: message } }),
  error: (state, { message }) => ({ ...state, notice: { text: message } }),
  draining: (state) => ({ ...state, notice: { text: 'The server is about to stop.' } }),
}

export function reduce(state, message) {
  const handler = HANDLERS[message.type]
  return handler ? handler(state, message) : state
}

/** The labels that sound now, [{label, onsetMs, event}], whichever way the sound came in. */
export function soundingNow(state) {
  if (state.input !== 'file') return sounding(state.events)
  return state.upload.phase === 'done' ? soundingAt(state.upload.events, state.player.positionMs) : []
}

/** The events that the list shows, newest first: those heard live, or those of the file. */
export function eventsShown(state) {
  if (state.input !== 'file') return state.events
  return state.upload.phase === 'done' ? state.upload.events : NONE
}

/** Is sound on its way in from a microphone? */
export function isListening(state) {
  return state.microphone.phase !== 'closed' || state.sources.following !== null
}

function uploaded(state, { type, ...upload }) {
  const events = upload.events && [...upload.events].sort((a, b) => b.onset_sample - a.onset_sample)
  return { ...state, upload: { ...upload, events }, player: upload.phase === 'sending' ? INITIAL.player : state.player }
}

/** The model as the views need it; the very same object where nothing has changed, so that no lane is built anew. */
function modelOf({ name, version, labels, families }, thresholds, before = null) {
  const model = {
    id: `${name} ${version}`,
    labels: labels.map((label, i) => ({ name: label, family: families[i], on: thresholds[label]?.on ?? null })),
  }
  return JSON.stringify(model) === JSON.stringify(before) ? before : model
}

function followLink(state, { phase, attempt = 0, retryAt = null, detail = null }) {
  const link = { phase, attempt, retryAt, detail }
  if (phase === 'live' || phase === 'stopping') return { ...state, link }
  const events = state.session
    ? abandon(state.events, state.session.id, phase === 'idle' ? 'not followed' : 'connection lost')
    : state.events
  return {
    ...state,
    link,
    events,
    level: null,
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
    model: modelOf(message.model, message.effective.detect.thresholds, state.model),
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
