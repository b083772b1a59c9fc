// Sound that was not yet heard: framed, kept, sent again, given up; and what the microphone lost.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { Backlog } from '../../client/web/backlog.js'
import { missingBetween } from '../../client/web/microphone.js'

const sound = (length) => new Float32Array(length).fill(0.5)

function header(message) {
  const view = new DataView(message)
  const [magic, version, flags] = [0, 1, 2].map((at) => view.getUint8(at))
  return { magic, version, flags, chunk: view.getUint32(4, true), first: Number(view.getBigUint64(8, true)) }
}

/** The messages that are sent now, by a connection that takes so many. */
function flowing(backlog, most = Infinity) {
  const messages = []
  backlog.flow((message) => messages.length < most && messages.push(message) > 0)
  return messages
}

const sent = (backlog) => flowing(backlog).map((message) => header(message).first)

test('a chunk is framed as the protocol says', () => {
  const backlog = new Backlog(1000)
  backlog.add(sound(100))
  backlog.add(sound(50), 25)
  const [first, second] = flowing(backlog)
  assert.deepEqual(header(first), { magic: 0xa5, version: 1, flags: 0, chunk: 0, first: 0 })
  assert.deepEqual([...new Float32Array(first, 16)], [...sound(100)])
  assert.deepEqual(header(second), { magic: 0xa5, version: 1, flags: 0, chunk: 1, first: 125 })
})

test('what did not go is the first to go next', () => {
  const backlog = new Backlog(1000)
  for (let k = 0; k < 4; k++) backlog.add(sound(100))
  assert.equal(flowing(backlog, 2).length, 2)
  assert.deepEqual(sent(backlog), [200, 300])
  assert.deepEqual(sent(backlog), [])
})

test('after a lost connection goes again what was not heard, and nothing else', () => {
  const backlog = new Backlog(1000)
  for (let k = 0; k < 5; k++) backlog.add(sound(100))
  assert.deepEqual(sent(backlog), [0, 100, 200, 300, 400])
  backlog.heard(200)
  backlog.add(sound(100))
  backlog.rewind(250)
  assert.deepEqual(sent(backlog), [200, 300, 400, 500])
})

test('what is heard is forgotten, whether it was sent over this connection or not', () => {
  const backlog = new Backlog(1000)
  for (let k = 0; k < 3; k++) backlog.add(sound(100))
  flowing(backlog, 1)
  backlog.heard(200)
  assert.equal(backlog.kept, 100)
  assert.deepEqual(sent(backlog), [200])
})

test('beyond the limit the oldest sound is given up, and counted', () => {
  const backlog = new Backlog(250)
  assert.equal(backlog.add(sound(100)), 0)
  assert.equal(backlog.add(sound(100)), 0)
  assert.equal(backlog.add(sound(100)), 100)
  assert.deepEqual(sent(backlog), [100, 200])
})

test('sound of another device says that it does not continue', () => {
  const backlog = new Backlog(1000)
  backlog.add(sound(10), 0, true)
  backlog.add(sound(10))
  assert.deepEqual(
    flowing(backlog).map((message) => header(message).flags),
    [1, 0],
  )
})

test('chunks that follow each other lose nothing, however late the page gets them', () => {
  const before = { first: 0, length: 1536, wallMs: 1000 }
  assert.equal(missingBetween(before, { first: 1536, length: 1536, wallMs: 1032 }, 48_000), 0)
  assert.equal(missingBetween(before, { first: 1536, length: 1536, wallMs: 1700 }, 48_000), 0)
})

test('a jump of the audio clock is what the device lost', () => {
  const before = { first: 0, length: 1536, wallMs: 1000 }
  assert.equal(missingBetween(before, { first: 2036, length: 1536, wallMs: 1043 }, 48_000), 500)
  assert.equal(missingBetween(before, { first: 480_000, length: 1536, wallMs: 11_000 }, 48_000), 478_464)
})

test('a night during which the laptop slept is missing, although the audio clock stood', () => {
  const before = { first: 0, length: 1600, wallMs: 0 }
  const hours = 8 * 3600
  const missing = missingBetween(before, { first: 1600, length: 1600, wallMs: 100 + 1000 * hours }, 16_000)
  assert.equal(missing, 16_000 * hours)
})
