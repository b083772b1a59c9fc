// The history: days in the reader's zone, what is asked for, the glance.

import assert from 'node:assert/strict'
import { test } from 'node:test'

process.env.TZ = 'Europe/Berlin'
const { asked, dayAfter, dayOf, span } = await import('../../client/web/past.js')
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
