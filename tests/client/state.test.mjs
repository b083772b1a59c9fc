// The reducer: what each message of the service and of the page does to the page's state.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { soundingAt } from '../../client/web/eventlog.js'
import {
  INITIAL,
  detectOf,
  isListening,
  latency,
  reduce,
  rulesOf,
  soundingNow,
  sourceDetectOf,
} from '../../client/web/state.js'

const MODEL = { name: 'toy', version: '0.0.1', sha256: '', labels: ['low', 'high'], families: ['a', 'b'] }
const THRESHOLDS = { low: { on: 0.7, off: 0.4 }, high: { on: 0.6, off: 0.4 } }
const DETECT = { labels: ['low', 'high'], thresholds: THRESHOLDS }
const INFO = { model: MODEL, detect: DETECT, bands_hz: [60, 120], upload: { formats: ['wav'] } }
const STARTED = {
  type: 'started',
  session: 's_1',
  effective: { audio: { sample_rate: 48_000 }, detect: DETECT },
  model: MODEL,
  hop_ms: 10,
  frame: { bands: 64, spikes: 66, labels: 2, bytes: 77, every: 2, db_floor: -100, db_ceil: 0, evidence_scale: 256 },
}
const ONSET = {
  type: 'event',
  session: 's_1',
  event_id: 'e1',
  label: 'low',
  phase: 'onset',
  peak: 0.8,
  score: 0.8,
  onset_sample: 4800,
  onset_ms: 100,
  offset_sample: null,
  offset_ms: null,
  decided_sample: 7200,
  latency_ms: 4,
  reason: null,
}
const OFFSET = {
  ...ONSET,
  phase: 'offset',
  offset_sample: 48_000,
  offset_ms: 1000,
  peak: 0.9,
  latency_ms: 3,
  reason: 'decay',
}

const after = (...messages) => messages.reduce(reduce, INITIAL)
const labels = (state) => soundingNow(state).map((one) => one.label)

test('an unknown message changes nothing at all', () => {
  assert.equal(reduce(INITIAL, { type: 'what_is_this' }), INITIAL)
})

test('no message changes the state that it was given', () => {
  const freeze = (value) => {
    if (value && typeof value === 'object' && !Object.isFrozen(value))
      Object.values(Object.freeze(value)).forEach(freeze)
    return value
  }
  const messages = [
    { type: 'info', info: INFO },
    { type: 'link', phase: 'connecting' },
    { type: 'link', phase: 'live' },
    STARTED,
    ONSET,
    { type: 'level', rms_dbfs: -20, peak_dbfs: -10, clipped: 0, at: 0 },
    OFFSET,
    { type: 'gap', from_sample: 0, samples: 1, where: 'client', reason: 'x' },
    { type: 'heartbeat', lag_ms: 1, realtime_factor: 0.1, dropped_ms: 0 },
    { type: 'unheard', ms: 32 },
    { type: 'files', added: [{ id: 'f1', name: 'a.wav', size: 1 }] },
    { type: 'file', id: 'f1', phase: 'done', events: [OFFSET], summary: {} },
    { type: 'scores', at: 0, suppressed: [] },
    { type: 'wish', label: 'low', on: 0.2 },
    { type: 'link', phase: 'waiting', retryAt: 1 },
    { type: 'clear_events' },
  ]
  messages.reduce((state, message) => freeze(reduce(state, message)), freeze(structuredClone(INITIAL)))
})

test('the labels with their families and thresholds are known before anything is heard', () => {
  const state = after({ type: 'info', info: INFO })
  assert.deepEqual(state.model.labels, [
    { name: 'low', family: 'a' },
    { name: 'high', family: 'b' },
  ])
  assert.deepEqual(rulesOf(state, 'low').wanted, { rules: { on: 0.7, off: 0.4 }, detected: true, own: true })
  assert.deepEqual(detectOf(state), {})
})

test('a threshold that the reader moves is wanted at once, and used when the engine says so', () => {
  const moved = after({ type: 'info', info: INFO }, STARTED, { type: 'wish', label: 'low', on: 0.5 })
  assert.deepEqual(rulesOf(moved, 'low').wanted, { rules: { on: 0.5, off: 0.4 }, detected: true, own: false })
  const detect = detectOf(moved)
  assert.deepEqual(detect, { labels: ['low', 'high'], thresholds: { ...THRESHOLDS, low: { on: 0.5, off: 0.4 } } })
  const asked = reduce(moved, { type: 'asked', id: 'c1' })
  assert.ok(rulesOf(asked, 'low').pending)
  const told = reduce(asked, { type: 'configured', id: 'c1', sample: 0, detect })
  assert.ok(!rulesOf(told, 'low').pending)
  assert.equal(told.detect.thresholds.low.on, 0.5)
  const back = reduce(told, { type: 'wish', label: 'low', ...rulesOf(told, 'low').model })
  assert.ok(rulesOf(back, 'low').wanted.own)
})

test('a label that is switched off is not asked for, and its thresholds are not sent', () => {
  const state = after({ type: 'info', info: INFO }, STARTED, { type: 'wish', label: 'low', detected: false })
  assert.deepEqual(detectOf(state), { labels: ['high'], thresholds: { high: THRESHOLDS.high } })
  assert.ok(rulesOf(state, 'low').engine, 'the engine has not answered yet')
  const told = reduce(state, { type: 'configured', id: 'c1', sample: 0, detect: detectOf(state) })
  assert.ok(!rulesOf(told, 'low').engine)
})

test('wishes that the engine refuses are given up, with its sentence', () => {
  const state = after(
    { type: 'info', info: INFO },
    STARTED,
    { type: 'wish', label: 'low', on: 0.3 },
    { type: 'asked', id: 'c1' },
    { type: 'configure_failed', id: 'c1', errors: [{ message: 'off=0.4 is not below on=0.3' }] },
  )
  assert.equal(state.notice.text, 'off=0.4 is not below on=0.3')
  assert.ok(rulesOf(state, 'low').wanted.own)
})

test('gaps are kept with their place, and are those of this session', () => {
  const gap = { type: 'gap', from_sample: 100, samples: 50, where: 'client', reason: 'sleep', seq: 4 }
  const state = after(STARTED, gap)
  assert.deepEqual(state.gaps, [{ from_sample: 100, samples: 50, where: 'client', reason: 'sleep' }])
  assert.equal(state.health.gaps, 1)
  assert.deepEqual(reduce(state, { ...STARTED, session: 's_2' }).gaps, [])
})

test('a connection whose session is kept ends no event, but nothing is lit meanwhile', () => {
  const lost = after(STARTED, ONSET, { type: 'link', phase: 'waiting', kept: true })
  assert.equal(lost.events[0].phase, 'onset')
  assert.deepEqual(labels(lost), [])
  const back = reduce(lost, { type: 'link', phase: 'live', kept: true })
  assert.deepEqual(labels(back), ['low'])
  assert.equal(back.session.id, 's_1')
})

test('what was held back changes slowly enough to be read', () => {
  const scores = (at, label) => ({ type: 'scores', at, suppressed: [{ label, score: 0.3, why: 'below_threshold' }] })
  const state = after(scores(1000, 'low'), scores(1100, 'high'))
  assert.equal(state.suppressed[0].label, 'low')
  assert.equal(reduce(state, scores(1400, 'high')).suppressed[0].label, 'high')
})

test('a family folds and unfolds', () => {
  const folded = after({ type: 'fold', name: 'family a' })
  assert.deepEqual(folded.folded, ['family a'])
  assert.deepEqual(reduce(folded, { type: 'fold', name: 'family a' }).folded, [])
})

test('a session of the same model leaves the model as it is, so that no lane is built anew', () => {
  const before = after({ type: 'info', info: INFO })
  assert.equal(reduce(before, STARTED).model, before.model)
})

test('a sent frame lasts its share of engine hops at the declared rate', () => {
  assert.equal(after(STARTED).session.samplesPerFrame, 960)
})

test('an onset lights a label and its offset puts it out', () => {
  assert.deepEqual(labels(after(STARTED, ONSET)), ['low'])
  assert.deepEqual(labels(after(STARTED, ONSET, OFFSET)), [])
})

test('a retracted event lights nothing and stays in the list', () => {
  const state = after(STARTED, ONSET, { ...OFFSET, phase: 'retract' })
  assert.deepEqual(labels(state), [])
  assert.equal(state.events[0].phase, 'retract')
})

test('labels stand in the order of their onset', () => {
  const other = { ...ONSET, event_id: 'e2', label: 'high', onset_ms: 200 }
  assert.deepEqual(labels(after(STARTED, ONSET, other)), ['low', 'high'])
})

test('a lost connection puts every label out and says so in its event', () => {
  const state = after({ type: 'link', phase: 'live' }, STARTED, ONSET, {
    type: 'link',
    phase: 'waiting',
    attempt: 1,
    retryAt: 5000,
  })
  assert.deepEqual(labels(state), [])
  assert.equal(state.events[0].phase, 'lost')
  assert.deepEqual(state.link, { phase: 'waiting', attempt: 1, retryAt: 5000, detail: null })
})

test('leaving the server’s microphone while something sounds is no lost connection', () => {
  const state = after({ type: 'link', phase: 'live' }, STARTED, ONSET, { type: 'link', phase: 'idle' })
  assert.equal(state.events[0].reason, 'not followed')
})

test('a new session keeps the events of the one before and starts its figures afresh', () => {
  const state = after(STARTED, ONSET, OFFSET, { type: 'gap' }, { ...STARTED, session: 's_2' })
  assert.equal(state.events.length, 1)
  assert.equal(state.health.gaps, 0)
  assert.equal(latency(state), null)
})

test('sound that was not sent is still told after the connection is back', () => {
  assert.equal(after({ type: 'unheard', ms: 32 }, { type: 'unheard', ms: 32 }, STARTED).health.unheardMs, 64)
})

test('the latency is the median over the newest onsets, in its two parts', () => {
  const later = { ...ONSET, event_id: 'e2', decided_sample: 9600, latency_ms: 6 }
  assert.deepEqual(latency(after(STARTED, ONSET, later)), { algorithmMs: 75, serverMs: 5 })
})

test('the meter holds a peak for a while and then lets it go', () => {
  const level = (peak, at) => ({ type: 'level', rms_dbfs: peak - 6, peak_dbfs: peak, clipped: 0, at })
  assert.equal(after(level(-3, 0), level(-20, 1000)).level.holdDbfs, -3)
  assert.equal(after(level(-3, 0), level(-20, 1600)).level.holdDbfs, -20)
  assert.equal(after(level(-20, 0), level(-3, 100)).level.holdDbfs, -3)
})

test('digital silence is null and is timed', () => {
  const silence = (at) => ({ type: 'level', rms_dbfs: null, peak_dbfs: null, clipped: 0, at })
  const state = after(silence(0), silence(100), silence(250))
  assert.equal(state.level.rmsDbfs, null)
  assert.equal(state.level.silentMs, 250)
  const sound = { type: 'level', rms_dbfs: -30, peak_dbfs: -20, clipped: 0, at: 300 }
  assert.equal(reduce(state, sound).level.silentMs, 0)
})

test('clipping stays marked until it is cleared', () => {
  const loud = { type: 'level', rms_dbfs: -1, peak_dbfs: 0, clipped: 7, at: 0 }
  const state = after(loud, { ...loud, clipped: 0, at: 100 })
  assert.equal(state.clips, 1)
  assert.equal(reduce(state, { type: 'clear_clips' }).clips, 0)
})

test('clearing the list keeps what still sounds', () => {
  const open = { ...ONSET, event_id: 'e2', label: 'high' }
  const state = after(STARTED, ONSET, OFFSET, open, { type: 'clear_events' })
  assert.deepEqual(
    state.events.map((event) => event.event_id),
    ['e2'],
  )
})

test('the first file that is heard opens, the others wait until they are asked for', () => {
  const added = ['f1', 'f2'].map((id) => ({ id, name: `${id}.wav`, size: 9 }))
  const done = (id) => ({ type: 'file', id, phase: 'done', events: [OFFSET], summary: {} })
  const state = after({ type: 'files', added }, { type: 'file', id: 'f1', phase: 'failed', problem: 'No.' }, done('f2'))
  assert.deepEqual(
    state.files.map(({ phase }) => phase),
    ['failed', 'done'],
  )
  assert.equal(state.file, 'f2')
  assert.equal(reduce(state, { type: 'file_open', id: 'f1' }).file, 'f1')
  const removed = reduce(state, { type: 'file_removed', id: 'f2' })
  assert.deepEqual([removed.files.length, removed.file], [1, null])
  assert.equal(reduce(removed, done('f2')).file, null, 'the answer came too late')
})

test('the labels of a file at a moment are those whose events hold it', () => {
  const second = { ...OFFSET, event_id: 'e2', label: 'high', onset_ms: 2000, offset_ms: 3000 }
  const at = (ms) => soundingAt([OFFSET, second], ms).map((one) => one.label)
  assert.deepEqual([at(500), at(1500), at(2000)], [['low'], [], ['high']])
})

test('the page listens while a microphone is open, its own or the server’s', () => {
  assert.equal(isListening(INITIAL), false)
  assert.equal(isListening(after({ type: 'microphone', phase: 'open' })), true)
  assert.equal(isListening(after({ type: 'sources', following: 'microphone' })), true)
})

test('a microphone that failed is closed with a sentence', () => {
  const state = after({ type: 'microphone', phase: 'asking' }, { type: 'microphone', phase: 'closed', problem: 'No.' })
  assert.equal(state.microphone.problem, 'No.')
  assert.equal(state.microphone.type, undefined)
})

test('of a source, wishes that the engine fulfils are wishes no more, and thresholds of what is off are kept', () => {
  const told = (labels, on) => ({
    type: 'configured',
    id: null,
    detect: { labels, thresholds: Object.fromEntries(labels.map((label) => [label, { on, off: 0.4 }])) },
  })
  let state = after({ type: 'info', info: INFO }, { type: 'input', input: 'server' }, STARTED)
  state = reduce(state, { type: 'wish', label: 'low', on: 0.9, off: 0.4 })
  assert.deepEqual(sourceDetectOf(state), { labels: null, thresholds: { low: { on: 0.9, off: 0.4 } } })
  state = reduce(state, told(['low', 'high'], 0.8))
  assert.deepEqual(state.wishes, { low: { on: 0.9, off: 0.4 } })
  state = reduce(state, told(['low'], 0.9))
  assert.deepEqual(state.wishes, {})
  assert.equal(rulesOf(state, 'high').engine, false)
  assert.equal(rulesOf(state, 'high').wanted.rules.on, 0.8)
  state = reduce(state, { type: 'wish', label: 'low', detected: false })
  state = reduce(state, { type: 'wish', label: 'high', detected: true })
  assert.deepEqual(sourceDetectOf(state).labels, ['high'])
})

test('what a second model says changes its own state and nothing of the first', () => {
  const info = { ...INFO, compare: { ...MODEL, name: 'other' } }
  const before = after({ type: 'info', info }, { type: 'comparing', on: true }, { type: 'link', phase: 'live' }, STARTED, ONSET)
  assert.equal(before.second.id, 'other 0.0.1')
  const theirs = { ...STARTED, session: 's_2', model: info.compare }
  const state = [{ type: 'link', phase: 'live' }, theirs, { ...ONSET, session: 's_2', label: 'high' }]
    .map((message) => ({ type: 'other', message }))
    .reduce(reduce, before)
  assert.deepEqual(labels(state), ['low'])
  assert.deepEqual(labels(state.other), ['high'])
  assert.equal(state.other.model.id, 'other 0.0.1')
  assert.equal({ ...state, other: before.other }.session, before.session)
  assert.equal(reduce(state, { type: 'other', message: null }).other, null)
})

test('the card of the source that is followed says what its messages say', () => {
  const cards = [
    { id: 'stage', name: 'Stage', state: 'healthy', detail: '', retry_in_ms: null, muted: false, device: 'USB' },
    { id: 'hall', name: 'Hall', state: 'healthy', detail: '', retry_in_ms: null, muted: false, device: null },
  ]
  const before = reduce(INITIAL, { type: 'sources', sources: cards })
  const told = { state: 'lost', detail: 'unplugged', retry_in_ms: 500, name: 'Stage left', muted: false }
  const { sources, sourceState } = reduce(before, { type: 'source', source: 'stage', seq: 9, ...told })
  assert.deepEqual(sources.sources, [{ ...cards[0], ...told }, cards[1]])
  assert.deepEqual(sourceState, { state: 'lost', detail: 'unplugged', muted: false })
})
