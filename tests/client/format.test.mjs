// Numbers, names, axes and sentences as people read them.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import * as format from '../../client/web/format.js'
import { explain, whyNot } from '../../client/web/microphone.js'
import { ServiceError, answer } from '../../client/web/service.js'
import { address, waitMs } from '../../client/web/socket.js'
import { sentence as announced } from '../../client/web/views/announcer.js'
import { inputs, sentence as noticed } from '../../client/web/views/controls.js'
import { axisMarks, bandOf, heat } from '../../client/web/views/heat.js'
import { along } from '../../client/web/views/meter.js'
import { arrange } from '../../client/web/views/order.js'
import { condition } from '../../client/web/views/sources.js'
import { quiet } from '../../client/web/views/stage.js'
import { connection, countdown } from '../../client/web/views/status.js'
import { marks } from '../../client/web/views/ticks.js'
import { INITIAL, reduce } from '../../client/web/state.js'

test('positions, lengths, levels, sizes and names read well', () => {
  assert.equal(format.position(6900), '0:06.9')
  assert.equal(format.position(59_990), '1:00.0')
  assert.equal(format.position(3_723_400), '1:02:03.4')
  assert.equal(format.duration(84.2), '84 ms')
  assert.equal(format.duration(999.7), '1.0 s')
  assert.equal(format.duration(83_000), '1 min 23 s')
  assert.equal(format.dbfs(-23.42), '\u221223.4 dBFS')
  assert.equal(format.dbfs(-0.01), '0.0 dBFS')
  assert.equal(format.dbfs(null), 'silence')
  assert.equal(format.hertz(500), '500 Hz')
  assert.equal(format.hertz(2500), '2.5 kHz')
  assert.equal(format.bytes(1_536_000), '1.5 MB')
  assert.equal(format.words('french_horn'), 'french horn')
  assert.equal(format.list(['a', 'b', 'c']), 'a, b and c')
})

test('a moment is told in the zone of the reader', () => {
  assert.equal(format.timeOfDay('2026-01-02T03:04:12.578Z', 'Asia/Tokyo'), '12:04:12')
})

test('a screen reader hears who began and who ended, and nothing where nothing changed', () => {
  assert.equal(announced([], ['violin', 'french_horn']), 'violin and french horn on.')
  assert.equal(announced(['violin'], ['flute']), 'flute on. violin off.')
  assert.equal(announced(['violin'], ['violin']), '')
})

test('waits grow to ten seconds and are spread by a fifth', () => {
  assert.equal(waitMs(0, 0.5), 500)
  assert.equal(waitMs(3, 0.5), 4000)
  assert.equal(waitMs(50, 0.5), 10_000)
  assert.equal(waitMs(0, 0), 400)
  assert.equal(waitMs(0, 1), 600)
})

test('addresses follow the page below a path and under https', () => {
  assert.equal(address('v1/stream', 'http://127.0.0.1:8000/'), 'ws://127.0.0.1:8000/v1/stream')
  assert.equal(address('v1/stream', 'https://music.example/ears/'), 'wss://music.example/ears/v1/stream')
})

test('the service’s own sentence is the one that is shown', () => {
  const body = JSON.stringify({ error: { code: 'empty_file', message: 'The file is empty.', retryable: false } })
  assert.throws(() => answer(422, body), new ServiceError('The file is empty.'))
  assert.throws(() => answer(502, '<html>'), /answered 502 with something that is not JSON/)
  assert.deepEqual(answer(200, '{"events":[]}'), { events: [] })
})

test('a page from plain http says why it has no microphone', () => {
  const scope = { isSecureContext: false, location: { origin: 'http://stage.local:8000' } }
  assert.match(whyNot(scope), /https:\/\/.*localhost.*http:\/\/stage\.local:8000/)
  assert.equal(
    whyNot({ isSecureContext: true, navigator: { mediaDevices: { getUserMedia() {} } }, AudioWorkletNode: 1 }),
    null,
  )
})

test('each refusal of a microphone has its own sentence', () => {
  assert.match(explain({ name: 'NotAllowedError' }), /may not use the microphone/)
  assert.match(explain({ name: 'NotFoundError' }), /no microphone/)
  assert.match(explain({ name: 'Strange', message: 'it broke' }), /it broke/)
})

test('frequencies find their place between the centres of bands', () => {
  const centres = [100, 200, 400]
  assert.equal(bandOf(100, centres), 0)
  assert.equal(bandOf(300, centres), 1.5)
  assert.equal(bandOf(50, centres), null)
  assert.equal(bandOf(500, centres), null)
})

test('marks that would touch are left out, from the top down', () => {
  assert.deepEqual(
    axisMarks([100, 110, 400], [100, 200, 400], 0.3).map((mark) => mark.hz),
    [400, 110],
  )
})

test('louder is never darker than the ground in the dark, and silence is the ground', () => {
  const colours = heat('dark')
  assert.equal(colours[0], colours[40])
  assert.notEqual(colours[255] >>> 0, colours[0] >>> 0)
  assert.equal(colours.length, 256)
})

test('the meter’s scale runs from its floor to full scale', () => {
  assert.equal(along(null), 0)
  assert.equal(along(-72), 0)
  assert.equal(along(-36), 0.5)
  assert.equal(along(3), 1)
})

test('time axes have round marks and not too many', () => {
  assert.deepEqual(marks(3500), [0, 500, 1000, 1500, 2000, 2500, 3000, 3500])
  for (const total of [90, 3500, 61_000, 7_200_000, 86_400_000]) {
    assert.ok(marks(total).length <= 10, `${total} ms has ${marks(total).length} marks`)
  }
})

test('lanes stand by family, by name, or with those that sound on top', () => {
  const labels = [
    { name: 'viola', family: 'bowed' },
    { name: 'flute', family: 'wind' },
    { name: 'cello', family: 'bowed' },
  ]
  assert.deepEqual(arrange(labels, 'family', []), [
    { family: 'bowed', names: ['cello', 'viola'] },
    { family: 'wind', names: ['flute'] },
  ])
  assert.deepEqual(arrange(labels, 'name', ['viola'])[0].names, ['cello', 'flute', 'viola'])
  assert.deepEqual(arrange(labels, 'sounding', ['viola'])[0].names, ['viola', 'cello', 'flute'])
})

test('an empty stage says what to do or what is wrong', () => {
  const after = (...messages) => messages.reduce(reduce, INITIAL)
  assert.equal(quiet(INITIAL), 'Press Listen and play something.')
  const open = { type: 'microphone', phase: 'open' }
  assert.equal(quiet(after(open, { type: 'link', phase: 'waiting' })), 'No connection: nothing is heard.')
  const silence = (at) => ({ type: 'level', rms_dbfs: null, peak_dbfs: null, clipped: 0, at })
  assert.equal(quiet(after(open, { type: 'link', phase: 'live' }, silence(0), silence(100))), 'Listening.')
  assert.match(quiet(after(open, { type: 'link', phase: 'live' }, silence(0), silence(5000))), /muted/)
})

test('the status line counts down to the next attempt', () => {
  const state = reduce(INITIAL, {
    type: 'link',
    phase: 'waiting',
    attempt: 2,
    retryAt: 10_000,
    detail: 'Connection lost',
  })
  assert.equal(connection(state), 'Connection lost')
  assert.equal(countdown(state, 6500), 'next attempt in 4 s')
  assert.equal(connection(INITIAL), 'Not connected')
  assert.equal(countdown(INITIAL, 0), '')
})

test('the one sentence shown is the newest notice, else what is wrong with the chosen input', () => {
  const denied = reduce(INITIAL, { type: 'microphone', phase: 'closed', problem: 'Denied.' })
  assert.equal(noticed(denied), 'Denied.')
  assert.equal(noticed(reduce(denied, { type: 'input', input: 'server' })), null)
  assert.equal(noticed(reduce(denied, { type: 'error', message: 'Broken.' })), 'Broken.')
})

test('sound comes from this browser, from what the server hears, or from what it could hear', () => {
  const state = {
    microphone: { devices: [{ id: 'd1', name: 'USB' }], refused: null },
    sources: { sources: [{ id: 'stage', name: 'Stage left' }], devices: [{ name: 'HDMI' }] },
  }
  const names = (groups) => groups.map(({ items }) => items.map(({ name }) => name))
  assert.deepEqual(names(inputs(state)), [['USB'], ['Stage left'], ['HDMI']])
  assert.deepEqual(JSON.parse(inputs(state)[1].items[0].id), { source: 'stage' })
  const refused = { ...state, microphone: { devices: [], refused: 'No HTTPS.' } }
  assert.deepEqual(names(inputs(refused)), [[], ['Stage left'], ['HDMI']])
})

test('a source says how it is', () => {
  assert.equal(condition({ state: 'healthy', detail: '', muted: false }), 'healthy')
  assert.equal(condition({ state: 'healthy', detail: 'x', muted: true }), 'muted')
  assert.equal(condition({ state: 'lost', detail: 'gone', retry_in_ms: 1500 }), 'lost: gone, again in 2 s')
})
