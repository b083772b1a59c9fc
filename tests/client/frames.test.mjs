// The binary `frame` message and the memory that it goes into.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { FrameError, decode, layout, logOdds, score } from '../../client/web/frames.js'
import { History, NONE } from '../../client/web/history.js'

const TOLD = { bands: 3, spikes: 11, labels: 2, bytes: 9, every: 2, db_floor: -100, db_ceil: 0, evidence_scale: 256 }

/** The message as server/frames.py packs it: header, then for each frame bands, spikes, evidence. */
function message(firstSample, frames) {
  const buffer = new ArrayBuffer(12 + 9 * frames.length)
  const view = new DataView(buffer)
  view.setUint8(0, 0xf5)
  view.setUint8(1, 1)
  view.setUint16(2, frames.length, true)
  view.setBigUint64(4, BigInt(firstSample), true)
  frames.forEach(({ bands, evidence, spikes = 0 }, k) => {
    const at = 12 + 9 * k
    bands.forEach((level, i) => view.setUint8(at + i, level))
    view.setUint16(at + 3, spikes, true)
    evidence.forEach((value, i) => view.setInt16(at + 5 + 2 * i, Math.round(256 * value), true))
  })
  return buffer
}

test('a history reads bands, spikes and evidence as they were sent', () => {
  const shape = layout(TOLD)
  const history = new History({ frames: 4, shape, samplesPerFrame: 100 })
  history.feed(
    decode(
      message(960, [
        { bands: [0, 128, 255], evidence: [0, -3] },
        { bands: [1, 2, 3], evidence: [2, 127], spikes: 0b100_0000_0001 },
      ]),
      shape,
    ),
  )
  assert.equal(history.endSample, 1160)
  assert.deepEqual([...history.levels.subarray(0, 6)], [0, 128, 255, 1, 2, 3])
  assert.deepEqual([...history.evidence.subarray(0, 4)], [0, -3, 2, 127])
  assert.deepEqual(
    [0, 1, 10].map((neuron) => history.fired(1, neuron)),
    [1, 0, 1],
  )
  assert.equal(history.fired(0, 0), 0)
})

test('samples and the linear spectrum follow the evidence, and what follows them is stepped over', () => {
  const told = { ...TOLD, bytes: 9 + 4 + 2 + 3, wave: 1, linear: 2, linear_hz: 31.25 }
  const shape = layout(told)
  const buffer = new ArrayBuffer(12 + 2 * told.bytes)
  const view = new DataView(buffer)
  new Uint8Array(buffer).set([0xf5, 1, 2, 0])
  for (const k of [0, 1]) {
    const at = 12 + k * told.bytes + 9
    view.setInt16(at, -16384 * (k + 1), true)
    view.setInt16(at + 2, 1000, true)
    new Uint8Array(buffer).set([7 + k, 9], at + 4)
  }
  const history = new History({ frames: 4, shape, samplesPerFrame: 100 })
  history.feed(decode(buffer, shape))
  assert.deepEqual([...history.wave.subarray(0, 4)], [-16384, 1000, -32768, 1000])
  assert.deepEqual([...history.linear.subarray(0, 4)], [7, 9, 8, 9])
  assert.ok(Math.abs(history.peakDb[0] + 6.02) < 0.01)
  assert.ok(Math.abs(history.peakDb[1]) < 0.01)
})

test('a sample beyond 32 bits keeps its place', () => {
  assert.equal(decode(message(2 ** 40, []), layout(TOLD)).firstSample, 2 ** 40)
})

test('evidence of nothing is a score of one half', () => {
  assert.equal(score(0), 0.5)
  assert.ok(Math.abs(score(logOdds(0.9)) - 0.9) < 1e-12)
})

test('a layout whose parts need more than its bytes is refused', () => {
  assert.throws(() => layout({ ...TOLD, bytes: 8 }), /says 8 bytes for each frame, its parts have 9/)
})

test('what is no frame message is refused by name', () => {
  const good = message(0, [{ bands: [0, 0, 0], evidence: [0, 0] }])
  assert.throws(() => decode(new ArrayBuffer(3), layout(TOLD)), FrameError)
  assert.throws(() => decode(good.slice(0, -1), layout(TOLD)), /1 frames of 9 bytes do not fill a message of 20 bytes/)
  new DataView(good).setUint8(0, 0)
  assert.throws(() => decode(good, layout(TOLD)), /not a version 1 frame/)
})

const SMALL = layout({ bands: 1, spikes: 8, labels: 1, bytes: 4, every: 1, evidence_scale: 256 })
const frames = (firstSample, ...evidence) => {
  const rows = new Uint8Array(4 * evidence.length)
  evidence.forEach((value, k) => {
    rows.set([200, 0], 4 * k)
    new DataView(rows.buffer).setInt16(4 * k + 2, 256 * value, true)
  })
  return { firstSample, count: evidence.length, rows }
}
const memory = () => new History({ frames: 4, shape: SMALL, samplesPerFrame: 100 })

test('the history holds the newest frames in fixed memory', () => {
  const history = memory()
  history.feed(frames(0, 1, 2, 3))
  history.feed(frames(300, 4, 0))
  assert.deepEqual(history.since(0), [1, 5])
  assert.equal(history.evidence.length, 4)
  assert.ok(Math.abs(history.scoreNow(0) - 0.5) < 1e-6)
  assert.equal(history.endSample, 500)
})

test('frames that were lost are blank, so that time stays true', () => {
  const history = memory()
  history.feed(frames(0, 9))
  history.feed(frames(300, 8)) // two frames are missing
  assert.equal(history.written, 4)
  assert.deepEqual([...history.levels], [200, 0, 0, 200])
  assert.deepEqual([...history.evidence], [9, NONE, NONE, 8])
  assert.deepEqual([...history.heard], [1, 0, 0, 1])
})

test('a gap longer than the memory costs no more than the memory', () => {
  const history = memory()
  history.feed(frames(0, 9))
  history.feed(frames(1_000_000_000, 8))
  assert.ok(history.written <= 6)
  assert.deepEqual([...history.levels].filter((level) => level > 0).length, 1)
})
