// A file's pictures: its spectrum and its wave against known sounds, zoom, the axis, the sentences of the shelf.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { csv, written } from '../../client/web/exports.js'
import { Spectrum } from '../../client/web/fft.js'
import { Sound, binsOf } from '../../client/web/sound.js'
import { sentence } from '../../client/web/views/shelf.js'
import { marks } from '../../client/web/views/ticks.js'
import { zoomed } from '../../client/web/views/timeline.js'

const RATE = 16_000
const sine = (hz, amplitude, seconds) =>
  Float32Array.from({ length: RATE * seconds }, (_, i) => amplitude * Math.sin((2 * Math.PI * hz * i) / RATE))

test('a sine stands in its bin with its level, and far from it there is nothing', () => {
  const levels = new Float32Array(256)
  new Spectrum(512).levels(sine(1000, 0.1, 1), 8000, levels)
  const peak = levels.indexOf(Math.max(...levels))
  assert.equal(peak, 32) // 1000 Hz / 31.25 Hz
  assert.ok(Math.abs(levels[peak] - 0.8 * 255) < 2, `${levels[peak]} is not -20 dB`)
  assert.ok(levels[150] < 60)
})

test('the FFT is the sum that it stands for', () => {
  const size = 16
  const samples = Float32Array.from({ length: size }, (_, i) => Math.sin(i * i) / 2)
  const spectrum = new Spectrum(size)
  const levels = new Float32Array(size / 2)
  spectrum.levels(samples, size / 2, levels)
  for (let k = 0; k < size / 2; k++) {
    let [re, im] = [0, 0]
    for (let i = 0; i < size; i++) {
      re += samples[i] * spectrum.window[i] * Math.cos((2 * Math.PI * k * i) / size)
      im += samples[i] * spectrum.window[i] * Math.sin((2 * Math.PI * k * i) / size)
    }
    const db = 10 * Math.log10((re * re + im * im) * spectrum.scale + 1e-12)
    assert.ok(Math.abs(levels[k] - Math.max(0, (db + 100) * 2.55)) < 0.01)
  }
})

test('the extremes of a piece are the same, near and far', () => {
  const samples = Float32Array.from({ length: 40_000 }, (_, i) => Math.sin(i * i) * Math.min(1, i / 20_000))
  const sound = new Sound(samples)
  for (const [from, to] of [
    [0, 2500],
    [512, 1024],
    [100, 101],
  ]) {
    const piece = samples.subarray((from * RATE) / 1000, (to * RATE) / 1000)
    const [least, most] = sound.extremes(from, to)
    assert.ok(Math.abs(least - Math.min(0, ...piece)) < 0.02)
    assert.ok(Math.abs(most - Math.max(0, ...piece)) < 0.02)
  }
})

test('rows of a spectrogram are equal in Hz or in mel, and leave out nothing', () => {
  for (const scale of ['mel', 'linear']) {
    const bins = binsOf(100, scale)
    assert.equal(bins[0][0], 0)
    assert.equal(bins[99][1], 255)
    for (let row = 1; row < 100; row++) assert.ok(bins[row][0] <= bins[row - 1][1] + 1)
  }
  assert.ok(binsOf(100, 'mel')[50][0] < binsOf(100, 'linear')[50][0])
})

test('zooming keeps the moment under the pointer, and stays inside', () => {
  assert.deepEqual(zoomed([0, 1000], 0.5, 500, 1000), [250, 750])
  assert.deepEqual(zoomed([0, 1000], 0.5, 0, 1000), [0, 500])
  assert.deepEqual(zoomed([250, 750], 4, 500, 1000), [0, 1000])
  const [from, to] = zoomed([0, 1000], 0.001, 500, 1000)
  assert.equal(Math.round(to - from), 100)
})

test('the marks of a piece are round, and inside it', () => {
  assert.deepEqual(marks(1000, 4300), [4400, 4600, 4800, 5000, 5200])
})

test('a row of the shelf says how far a file is, and what is in it', () => {
  const label = (label, seconds) => ({ label, seconds })
  const done = { phase: 'done', summary: { audio_ms: 61_000, labels: [label('flute', 1), label('french_horn', 9)] } }
  assert.equal(sentence(done), '1 min 1 s: french horn and flute')
  assert.equal(sentence({ phase: 'sending', share: 0.5, size: 2_000_000 }), 'sending 2.0 MB, 50 %')
  assert.equal(sentence({ phase: 'done', summary: { audio_ms: 900, labels: [] } }), '900 ms: nothing named')
})

const EVENT = {
  label: 'french_horn',
  onset_sample: 24_000,
  onset_ms: 1500,
  offset_ms: 2500.5,
  score: 0.4,
  peak: 0.9,
  threshold: 0.6,
  reason: 'decay',
  source: 'say, "horn".wav',
  event_id: 'e1',
  model: 'toy@1',
}

test('text with commas and quotes is one cell', () => {
  const [, row] = csv([EVENT]).split('\r\n')
  assert.equal(row, 'french_horn,1500,2500.5,0.4,0.9,0.6,decay,"say, ""horn"".wav",e1,toy@1')
})

test('labels for Audacity are seconds, with tabs between', () => {
  const file = { events: [EVENT], summary: { audio_ms: 3000 }, name: 'horn.wav' }
  assert.equal(written('audacity', file, ''), '1.500000\t2.500500\tfrench_horn\n')
})
