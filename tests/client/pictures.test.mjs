// Small decisions of the pictures: where layers, gaps and evidence stand, how loud sound is drawn, what is told.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { candidates } from '../../client/web/views/heldback.js'
import { placeOf, told } from '../../client/web/views/marks.js'
import { described } from '../../client/web/views/neuron.js'
import { arrange, nameOf, neuronAt } from '../../client/web/views/raster.js'
import { heightOf } from '../../client/web/views/strip.js'
import { apart } from '../../client/web/views/tuning.js'
import { gainFor } from '../../client/web/views/wave.js'

test('layers stand one under the other, fill the height, and none is too thin to see', () => {
  const places = arrange([320, 256, 128, 2])
  assert.equal(places[0].top, 0)
  for (let i = 1; i < places.length; i++) {
    assert.ok(Math.abs(places[i].top - places[i - 1].top - places[i - 1].height) < 1e-9)
    assert.equal(places[i].first, places[i - 1].first + places[i - 1].count)
  }
  const { top, height } = places.at(-1)
  assert.ok(Math.abs(top + height - 1) < 1e-9)
  assert.ok(height > 0.08)
  assert.deepEqual(
    [0, 1, 2, 3].map((i) => nameOf(i, 4)),
    ['cochlea', 'layer 1', 'layer 2', 'outputs'],
  )
})

test('quiet sound is enlarged as far as it fits', () => {
  assert.equal(gainFor(0), 1)
  assert.equal(gainFor(-6.1), 2)
  assert.equal(gainFor(-13), 4)
  assert.equal(gainFor(-90), 64)
})

test('evidence stands on one scale for all lanes', () => {
  assert.equal(heightOf(-128), 0)
  assert.equal(heightOf(127), 1)
  assert.ok(heightOf(0) > 0.4 && heightOf(0) < 0.55)
})

test('a gap stands where it was, and goes out of the window', () => {
  const history = { written: 1000, endSample: 160_000, samplesPerFrame: 160 }
  const gap = { from_sample: 80_000, samples: 16_000 }
  assert.deepEqual(placeOf(gap, history, 1000, 1000), { left: 0.5, width: 0.09999999999999998 })
  assert.equal(placeOf(gap, { ...history, written: 3000, endSample: 480_000 }, 3000, 1000), null)
})

test('a gap says how much was lost, where and why', () => {
  const gap = { samples: 24_000, where: 'network', reason: 'index' }
  assert.equal(told(gap, 48_000), '500 ms lost on the way (index)')
  assert.match(told({ ...gap, samples: 0, reason: 'discontinuity' }, 48_000), /^The sound was interrupted/)
})

test('a threshold pushes the other one before it', () => {
  assert.deepEqual(apart({ on: 0.3, off: 0.4 }, 'on'), { on: 0.3, off: 0.29 })
  assert.deepEqual(apart({ on: 0.3, off: 0.4 }, 'off'), { on: 0.41, off: 0.4 })
  assert.deepEqual(apart({ on: 0.7, off: 0.4 }, 'on'), { on: 0.7, off: 0.4 })
  const least = apart({ on: 0, off: 0 }, 'on')
  assert.ok(least.off > 0 && least.on > least.off)
})

test('a click on the raster picks the neuron that is drawn there', () => {
  const places = arrange([320, 256, 128, 24])
  assert.equal(neuronAt(0, places), 319)
  assert.equal(neuronAt(places[0].height * 0.999, places), 0)
  assert.equal(neuronAt(places[1].top + 1e-9, places), 320)
  assert.equal(neuronAt(1, places), 727)
})

test('the fibres of a second look stand in a row of their own, between the cochlea and the layers', () => {
  const places = arrange([500, 256, 24], 180)
  assert.deepEqual(
    places.map(({ name, first, count }) => [name, first, count]),
    [
      ['cochlea', 0, 320],
      ['fine', 320, 180],
      ['layer 1', 500, 256],
      ['outputs', 756, 24],
    ],
  )
  assert.equal(neuronAt(places[1].top + 1e-9, places), 499)
})

test('a neuron is told with where it is, what it hears best and what it works on', () => {
  const neuron = {
    layer: 1,
    neuron: 37,
    fibres: ['gain 1', 'rise'],
    bands_hz: [100, 2000],
    weights: [
      [0.1, -0.9],
      [0, 0.5],
    ],
    labels: [
      ['french_horn', 0.4],
      ['oboe', -0.3],
    ],
  }
  assert.equal(
    described(neuron, 4),
    'layer 1, neuron 37. Hears 2 kHz (rise) best; works for french horn, against oboe.',
  )
  const fine = { fibres: ['gain 2'], bands_hz: [100, 440, 2000], weights: [[0, 0.7, 0]] }
  assert.match(described({ ...neuron, fine }, 4), /Hears 440 Hz \(gain 2\) best/)
})

test('what was nearly named says why it was not', () => {
  const detect = { labels: ['flute', 'oboe'], thresholds: { flute: { on: 0.9, off: 0.5 }, oboe: { on: 0.6, off: 0.4 } } }
  const suppressed = [
    { label: 'french_horn', score: 0.97, why: 'muted' },
    { label: 'flute', score: 0.8, why: 'below_threshold' },
    { label: 'oboe', score: 0.7, why: 'refractory' },
    { label: 'harp', score: 0.1, why: 'below_threshold' },
  ]
  const state = { suppressed, detect, own: detect, wishes: {}, asked: null, model: { labels: [{ name: 'flute', family: 'woodwind' }] } }
  assert.deepEqual(
    candidates(state).map(({ label, family, text }) => [label, family, text]),
    [
      ['french_horn', '', '97 %, muted'],
      ['flute', 'woodwind', '80 %, below its 90 %'],
      ['oboe', '', '70 %, it has just ended'],
    ],
  )
})
