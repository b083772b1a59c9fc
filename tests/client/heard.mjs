// What the page makes of a stream, for tests that stream a sound of known form: node heard.mjs FILE prints it as JSON.
// FILE: {"started": the message, "rate": Hz, "frames": [base64 of each binary message]}.

import { readFileSync } from 'node:fs'

import { Envelope, LETTERS } from '../../client/web/adsr.js'
import { decode, layout } from '../../client/web/frames.js'
import { History } from '../../client/web/history.js'

const { started, rate, frames } = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const shape = layout(started.frame)
const samplesPerFrame = (shape.every * started.hop_ms * rate) / 1000
const history = new History({ frames: 10_000, shape, samplesPerFrame })
for (const text of frames) history.feed(decode(new Uint8Array(Buffer.from(text, 'base64')).buffer, shape))
const envelope = new Envelope(history.capacity, history.framesPerSecond)
for (let k = 0; k < history.written; k++) envelope.feed(history.peakDb[k], history.heard[k] === 1)

const parts = [] // [letter, first frame, frames]
for (let k = 0; k < history.written; k++) {
  const letter = LETTERS[envelope.phase[k]]
  if (parts.at(-1)?.[0] === letter) parts.at(-1)[2] += 1
  else parts.push([letter, k, 1])
}
const most = (values, row, count) => {
  const part = [...values.subarray(row * count, (row + 1) * count)]
  return part.indexOf(Math.max(...part))
}
const each = (one) => Array.from({ length: history.written }, (_, k) => one(k))
console.log(
  JSON.stringify({
    parts: parts.filter(([letter]) => letter),
    attackMs: envelope.attackMs,
    peak: each((k) => 10 ** (history.peakDb[k] / 20)),
    mel: each((k) => most(history.levels, k, shape.bands)),
    linearHz: each((k) => most(history.linear, k, shape.linear) * shape.linearHz),
    fine: shape.fine,
  }),
)
