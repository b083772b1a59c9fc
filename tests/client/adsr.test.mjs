// The parts of an envelope: what attack, decay, sustain and release are found in sounds whose parts are known.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ATTACK, DECAY, Envelope, LETTERS, RELEASE, SUSTAIN } from '../../client/web/adsr.js'

/** Levels in dB at 100 frames a second, from pieces [dB at the end, seconds], beginning at -80 dB. */
function levels(...pieces) {
  const out = []
  let db = -80
  for (const [end, seconds] of pieces) {
    const frames = Math.round(100 * seconds)
    for (let k = 1; k <= frames; k++) out.push(db + ((end - db) * k) / frames)
    db = end
  }
  return out
}

function heard(dbs) {
  const envelope = new Envelope(10_000, 100)
  for (const db of dbs) envelope.feed(db)
  return envelope
}

/** The phases in order, each with its frames: [['A', 10], ...]. */
function parts(envelope) {
  const out = []
  for (let k = 0; k < envelope.next; k++) {
    const letter = LETTERS[envelope.phase[k]]
    if (out.at(-1)?.[0] === letter) out.at(-1)[1] += 1
    else out.push([letter, 1])
  }
  return out.filter(([letter]) => letter)
}

test('a note with all four parts has them in order, and as long as they are', () => {
  const envelope = heard(levels([-80, 0.5], [-6, 0.1], [-14, 0.15], [-14.5, 1], [-80, 0.3], [-80, 0.5]))
  const found = parts(envelope)
  assert.deepEqual(
    found.map(([letter]) => letter),
    ['A', 'D', 'S', 'R'],
  )
  const [attack, decay, sustain, release] = found.map(([, frames]) => frames)
  assert.ok(Math.abs(attack - 10) <= 3, `attack ${attack}`)
  assert.ok(Math.abs(decay - 15) <= 8, `decay ${decay}`)
  assert.ok(Math.abs(sustain - 100) <= 12, `sustain ${sustain}`)
  assert.ok(release >= 15, `release ${release}`)
  assert.ok(Math.abs(envelope.attackMs - 100) <= 30)
})

test('silence and hiss have no parts', () => {
  assert.deepEqual(parts(heard(levels([-80, 2]))), [])
  const hiss = Array.from({ length: 300 }, (_, k) => -75 + (k % 3))
  assert.deepEqual(parts(heard(hiss)), [])
})

test('each of two struck notes has an attack of its own', () => {
  const found = parts(heard(levels([-80, 0.3], [-10, 0.02], [-30, 0.8], [-8, 0.02], [-30, 0.8])))
  assert.equal(found.filter(([letter]) => letter === 'A').length, 2)
})

test('a frame that was lost ends the note', () => {
  const envelope = new Envelope(1000, 100)
  for (const db of levels([-80, 0.3], [-10, 0.05], [-10, 0.5])) envelope.feed(db)
  assert.notEqual(envelope.state, 0)
  envelope.feed(-100, false)
  assert.equal(envelope.phase[envelope.next - 1], 0)
})

test('the letters are those of the parts', () => {
  assert.deepEqual(
    [ATTACK, DECAY, SUSTAIN, RELEASE].map((phase) => LETTERS[phase]),
    ['A', 'D', 'S', 'R'],
  )
})
