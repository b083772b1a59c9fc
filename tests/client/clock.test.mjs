// Where now stands: gliding between bursts of frames, standing when none come.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { Clock } from '../../client/web/clock.js'

/** 100 frames a second in bursts, a picture each 1/60 s; how far each picture moved. */
function steps(burst, seconds) {
  const clock = new Clock(100)
  const moved = []
  let written = 0
  let head = null
  for (let picture = 0; picture < 60 * seconds; picture++) {
    const at = (picture * 1000) / 60
    while ((written + burst) * 10 <= at) {
      written += burst
      clock.feed(written, at)
    }
    const now = clock.read(at)
    assert.ok(now <= written)
    if (head !== null) moved.push(now - head)
    head = now
  }
  return { moved, head, written }
}

test('the picture glides although frames come in bursts', () => {
  for (const burst of [1, 3, 4]) {
    const { moved, head, written } = steps(burst, 10)
    const calm = moved.slice(120) // the first two seconds find the place
    const mean = 100 / 60
    for (const step of calm) assert.ok(Math.abs(step - mean) < 0.25 * mean, `${step} of ${mean} in bursts of ${burst}`)
    assert.ok(written - head < 15)
  }
})

test('without news the picture goes to the newest frame and stands', () => {
  const clock = new Clock(100)
  clock.feed(50, 0)
  for (let at = 0; at < 3000; at += 16) clock.read(at)
  assert.equal(clock.head, 50)
  assert.equal(clock.moving, false)
})

test('after a long pause the picture does not run after the time that it missed', () => {
  const clock = new Clock(100)
  clock.feed(10, 0)
  clock.read(0)
  clock.feed(10_000, 60_000)
  assert.ok(clock.read(60_000) > 9_900)
})

test('a reader who wants calm sees the newest frame', () => {
  const clock = new Clock(100)
  clock.feed(70, 0)
  assert.equal(clock.read(0, true), 70)
})
