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
  frames.forEach(({ bands, evidence }, k) => {
    const at = 12 + 9 * k
    bands.forEach((level, i) => view.setUint8(at + i, level))
    view.setUint16(at + 3, 0xffff, true) // spikes: skipped
    evidence.forEach((value, i) => view.setInt16(at + 5 + 2 * i, Math.round(256 * value), true))
  })
  return buffer
}

test('bands and evidence come out of a message as they went in', () => {
  const frames = decode(
    message(960, [
      { bands: [0, 128, 255], evidence: [0, -3] },
      { bands: [1, 2, 3], evidence: [2, 127] },
    ]),
    layout(TOLD),
  )
  assert.equal(frames.firstSample, 960)
  assert.equal(frames.count, 2)
  assert.deepEqual([...frames.bands], [0, 128, 255, 1, 2, 3])
  assert.deepEqual([...frames.evidence], [0, -3, 2, 127])
})

test('a sample beyond 32 bits keeps its place', () => {
  assert.equal(decode(message(2 ** 40, []), layout(TOLD)).firstSample, 2 ** 40)
})

test('evidence of nothing is a score of one half', () => {
  assert.equal(score(0), 0.5)
  assert.ok(Math.abs(score(logOdds(0.9)) - 0.9) < 1e-12)
})

test('a layout whose parts do not make up its bytes is refused', () => {
  assert.throws(() => layout({ ...TOLD, bytes: 10 }), /says 10 bytes for each frame, its parts have 9/)
})

test('what is no frame message is refused by name', () => {
  const good = message(0, [{ bands: [0, 0, 0], evidence: [0, 0] }])
  assert.throws(() => decode(new ArrayBuffer(3), layout(TOLD)), FrameError)
  assert.throws(() => decode(good.slice(0, -1), layout(TOLD)), /1 frames of 9 bytes do not fill a message of 20 bytes/)
  new DataView(good).setUint8(0, 0)
  assert.throws(() => decode(good, layout(TOLD)), /not a version 1 frame/)
})

const frames = (firstSample, ...evidence) => ({
  firstSample,
  count: evidence.length,
  bands: new Uint8Array(evidence.length).fill(200),
  evidence: Float32Array.from(evidence),
})
const memory = () => new History({ frames: 4, bands: 1, labels: 1, samplesPerFrame: 100 })

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
})

test('a gap longer than the memory costs no more than the memory', () => {
  const history = memory()
  history.feed(frames(0, 9))
  history.feed(frames(1_000_000_000, 8))
  assert.ok(history.written <= 6)
  assert.deepEqual([...history.levels].filter((level) => level > 0).length, 1)
})
