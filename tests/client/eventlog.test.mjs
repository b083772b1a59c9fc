// The list of events: one entry for each id, newest first, bounded, exported as it came.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { KEPT, abandon, merge, sounding, soundingAt, toJson } from '../../client/web/eventlog.js'
import { moment, outcome } from '../../client/web/views/log.js'

const event = (id, phase, more = {}) => ({
  event_id: id,
  session: 's',
  label: 'violin',
  phase,
  onset_ms: 100,
  offset_ms: phase === 'onset' ? null : 900,
  peak: 0.9,
  ...more,
})

test('an event stays one entry from its onset to its end', () => {
  const list = merge(merge([], event('a', 'onset')), event('a', 'offset'))
  assert.equal(list.length, 1)
  assert.equal(list[0].phase, 'offset')
})

test('the newest onset is on top, and an end does not move it', () => {
  const list = [event('a', 'onset'), event('b', 'onset'), event('a', 'offset')].reduce(merge, [])
  assert.deepEqual(
    list.map((one) => one.event_id),
    ['b', 'a'],
  )
})

test('the list forgets the oldest beyond its room', () => {
  const list = Array.from({ length: KEPT + 5 }, (_, i) => event(`e${i}`, 'offset')).reduce(merge, [])
  assert.equal(list.length, KEPT)
  assert.equal(list[0].event_id, `e${KEPT + 4}`)
})

test('an entry that did not change is the same object, so that its row is left alone', () => {
  const before = merge(merge([], event('a', 'offset')), event('b', 'onset'))
  assert.equal(merge(before, event('b', 'offset'))[1], before[1])
})

test('a lost session ends its own open events and no others', () => {
  const list = [event('a', 'onset'), event('b', 'offset'), event('c', 'onset', { session: 't' })]
  assert.deepEqual(
    abandon(list, 's', 'connection lost').map((one) => one.phase),
    ['lost', 'offset', 'onset'],
  )
  const closed = [event('b', 'offset')]
  assert.equal(abandon(closed, 's', 'connection lost'), closed)
})

test('what sounds at a moment of a file is what began and has not ended', () => {
  const list = [event('a', 'offset'), event('b', 'retract', { label: 'flute' })]
  assert.deepEqual(soundingAt(list, 99), [])
  assert.deepEqual(
    soundingAt(list, 100).map((one) => one.label),
    ['violin'],
  )
  assert.deepEqual(soundingAt(list, 900), [])
  assert.deepEqual(sounding(list), [])
})

test('the copy holds every event, oldest first, in the words of the service', () => {
  const list = [event('b', 'onset'), event('a', 'offset')]
  assert.deepEqual(JSON.parse(toJson(list)).events, [list[1], list[0]])
})

test('an event says how it ended and when it began', () => {
  assert.equal(outcome(event('a', 'onset')), 'sounding')
  assert.equal(outcome(event('a', 'offset')), '800 ms')
  assert.equal(outcome(event('a', 'retract')), 'taken back')
  assert.equal(outcome(event('a', 'lost', { reason: 'connection lost' })), 'connection lost')
  assert.equal(moment(event('a', 'offset', { utc_onset: null })), '0:00.1')
})
