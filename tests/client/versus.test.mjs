// Two models on the same samples: where they differ, what is said of it, and that their pictures stand at the same moments.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { History } from '../../client/web/history.js'
import { differences, taken, together } from '../../client/web/versus.js'
import { disagreement, names, told } from '../../client/web/views/versus.js'

const event = (from, to) => ({ onset_sample: from, offset_sample: to })

test('two models differ where exactly one of them sounds', () => {
  const ours = [event(100, 200), event(300, null)]
  const theirs = [event(150, 250), event(300, 400)]
  assert.deepEqual(differences(ours, theirs, 500), [
    { from: 100, to: 150 },
    { from: 200, to: 250 },
    { from: 400, to: 500 },
  ])
  assert.deepEqual(differences(ours, ours, 500), [])
  assert.deepEqual(differences([], [], 500), [])
  assert.deepEqual(differences([event(300, null)], [], 200), [], 'one that began after the edge of the picture')
})

test('an event that follows another at once is no difference', () => {
  assert.deepEqual(differences([event(0, 100), event(100, 200)], [event(0, 200)], 300), [])
})

test('the share in which they differ is of the time in which either names something, inside the window', () => {
  const labels = [{ name: 'low' }, { name: 'high' }]
  const ours = new Map([['low', [event(0, 200)]]])
  const theirs = new Map([['low', [event(100, 300)]]])
  assert.equal(disagreement(labels, ours, theirs, 0, 1000), 200 / 300)
  assert.equal(disagreement(labels, ours, theirs, 150, 1000), 100 / 150)
  assert.equal(disagreement(labels, ours, ours, 0, 1000), 0)
  assert.equal(disagreement(labels, new Map(), new Map(), 0, 1000), null)
  assert.equal(taken([{ from: 0, to: 10 }], 20, 30), 0)
})

test('labels of both models stand together, each with its place in either', () => {
  const found = together([{ name: 'a' }, { name: 'b' }], [{ name: 'b' }, { name: 'c' }])
  assert.deepEqual(
    found.map(({ name, ours, theirs }) => [name, ours, theirs]),
    [
      ['a', 0, -1],
      ['b', 1, 0],
      ['c', -1, 1],
    ],
  )
})

test('what differs now is said, and two files of one name are told apart', () => {
  assert.equal(told(['oboe', 'flute'], ['flute', 'french_horn']), 'oboe only above, french horn only below')
  assert.equal(told(['flute'], ['flute']), '')
  const model = (id, sha256) => ({ id, sha256 })
  assert.deepEqual(names(model('a 1', 'x'), model('b 1', 'y')), ['a 1', 'b 1'])
  assert.deepEqual(names(model('a 1', '0123456789'), model('a 1', 'abcdef0123')), ['a 1 (012345)', 'a 1 (abcdef)'])
})

test('a moment has its place in the frames of either model, whatever their hops', () => {
  const shape = { bands: 1, labels: 1, linear: 0, wave: 0, evidenceAt: 1, bytes: 1 }
  const [fine, coarse] = [160, 320].map((samplesPerFrame) => {
    const history = new History({ frames: 100, shape, samplesPerFrame })
    history.written = 3200 / samplesPerFrame
    history.endSample = 3200
    return history
  })
  assert.equal(fine.sampleAt(15), 2400)
  assert.equal(coarse.headAt(fine.sampleAt(15)), 7.5)
  assert.equal(fine.headAt(fine.sampleAt(12.5)), 12.5)
})
