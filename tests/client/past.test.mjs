// The history: days in the reader's zone, what is asked for, the glance.

import assert from 'node:assert/strict'
import { test } from 'node:test'

process.env.TZ = 'Europe/Berlin'
const { Past, asked, dayAfter, dayOf, span } = await import('../../client/web/past.js')
const { INITIAL, reduce } = await import('../../client/web/state.js')
const { rowsOf, strength } = await import('../../client/web/views/then.js')

test('a day is the reader’s own, also when the clocks change', () => {
  assert.deepEqual(span('2026-01-02'), { from: '2026-01-01T23:00:00.000Z', to: '2026-01-02T23:00:00.000Z' })
  const hours = ({ from, to }) => (new Date(to) - new Date(from)) / 3_600_000
  assert.equal(hours(span('2026-03-29')), 23)
  assert.equal(hours(span('2026-10-25')), 25)
  assert.deepEqual(span('2026-01-02', 5), { from: '2026-01-02T04:00:00.000Z', to: '2026-01-02T05:00:00.000Z' })
})

test('the day after the last of a month is the first of the next', () => {
  assert.equal(dayAfter('2026-02-28', 1), '2026-03-01')
  assert.equal(dayAfter('2026-01-01', -1), '2025-12-31')
  assert.equal(dayOf(new Date('2026-01-01T23:30:00Z')), '2026-01-02')
})

test('what is not asked for stands in no request', () => {
  const query = asked({ day: '2026-01-02', hour: null, label: '', source: 'stage' }, { limit: 50 })
  assert.deepEqual([...query.keys()], ['from', 'to', 'source', 'limit'])
})

test('the glance has a row for each label and a cell for each hour', () => {
  const told = {
    labels: { flute: { seconds: 9 }, violin: { seconds: 2 } },
    buckets: [{ labels: { flute: { events: 2, seconds: 9 } } }, { labels: { violin: { events: 1, seconds: 2 } } }],
  }
  assert.deepEqual(rowsOf(told), [
    { label: 'flute', hours: [{ events: 2, seconds: 9 }, { seconds: 0, events: 0 }] },
    { label: 'violin', hours: [{ seconds: 0, events: 0 }, { events: 1, seconds: 2 }] },
  ])
})

test('a second can be seen, and an hour is not stronger than full', () => {
  assert.equal(strength(0), 0)
  assert.ok(strength(1) > 0.2)
  assert.equal(strength(7200), 1)
})

/** A reader of the history; each of its requests waits in `asks` for its answer. */
function reader() {
  const asks = []
  globalThis.sessionStorage = { getItem: () => null }
  globalThis.fetch = (path) =>
    new Promise((resolve) => {
      const answer = (body) => resolve({ status: 200, text: async () => JSON.stringify(body) })
      asks.push({ path, answer })
    })
  let state = INITIAL
  const dispatch = (action) => (state = reduce(state, action))
  const past = new Past({ view: () => state.then, dispatch, onSound: () => {} })
  return { past, asks, shown: () => state.then.events.map(({ event_id }) => event_id), then: () => state.then }
}

const heard = (...ids) => ids.map((event_id) => ({ event_id, correction: null }))

test('More while another choice is looked for asks for nothing, and the choice is shown', async () => {
  const { past, asks, shown, then } = reader()
  const first = past.look({ day: '2026-01-02' })
  asks[0].answer({ buckets: [], labels: {} })
  asks[1].answer({ events: heard('a', 'b'), next: 'cursor-b' })
  await first
  const second = past.look({ label: 'flute' })
  const more = past.more()
  assert.equal(asks.length, 4)
  asks[2].answer({ buckets: [], labels: {} })
  asks[3].answer({ events: heard('c'), next: null })
  await Promise.all([second, more])
  assert.deepEqual(shown(), ['c'])
  assert.equal(then().loading, false)
})

test('what is corrected while More is awaited stays corrected', async () => {
  const { past, asks, shown, then } = reader()
  const first = past.look({ day: '2026-01-02' })
  asks[0].answer({ buckets: [], labels: {} })
  asks[1].answer({ events: heard('a'), next: 'cursor-a' })
  await first
  const more = past.more()
  const correcting = past.correct('a', 'oboe')
  asks[3].answer({ correction: { label: 'oboe' } })
  await correcting
  asks[2].answer({ events: heard('b'), next: null })
  await more
  assert.deepEqual(shown(), ['a', 'b'])
  assert.deepEqual(then().events[0].correction, { label: 'oboe' })
})
