// The binary `frame` message: bands and a linear spectrum, spikes, evidence, the extremes of the samples. Knows the layout
// that `started` told; nothing of sockets, time or pixels.
//
//   u8 0xF5, u8 version 1, u16 frames, u64 first sample; then for each frame: bands u8, spikes as bits, evidence i16,
//   wave i16 (least, greatest), linear u8

const MAGIC = 0xf5
const VERSION = 1
const HEADER_BYTES = 12

export class FrameError extends Error {}

/** The layout in `started.frame`, checked, with the places of the parts in a frame: {evidenceAt, waveAt, linearAt}. */
export function layout(frame) {
  const { bands, spikes, labels, bytes, wave = 0, linear = 0 } = frame
  const evidenceAt = bands + Math.ceil(spikes / 8)
  const waveAt = evidenceAt + 2 * labels
  const linearAt = waveAt + 4 * wave
  const expected = linearAt + linear
  if (bytes < expected) {
    throw new FrameError(`started.frame says ${bytes} bytes for each frame, its parts have ${expected}`)
  }
  return {
    bands,
    spikes,
    labels,
    wave,
    linear,
    bytes,
    layers: frame.layers ?? [spikes],
    fine: frame.fine ?? 0,
    linearHz: frame.linear_hz ?? 0,
    every: frame.every,
    evidenceScale: frame.evidence_scale,
    evidenceAt,
    waveAt,
    linearAt,
  }
}

/** @returns {{firstSample: number, count: number, rows: Uint8Array}} the frames as they came, oldest first */
export function decode(buffer, shape) {
  if (buffer.byteLength < HEADER_BYTES)
    throw new FrameError(`a frame message of ${buffer.byteLength} bytes has no header`)
  const view = new DataView(buffer)
  if (view.getUint8(0) !== MAGIC || view.getUint8(1) !== VERSION) {
    throw new FrameError(`a binary message starts with ${view.getUint8(0)}, ${view.getUint8(1)}: not a version 1 frame`)
  }
  const count = view.getUint16(2, true)
  if (buffer.byteLength !== HEADER_BYTES + count * shape.bytes) {
    throw new FrameError(`${count} frames of ${shape.bytes} bytes do not fill a message of ${buffer.byteLength} bytes`)
  }
  return { firstSample: Number(view.getBigUint64(4, true)), count, rows: new Uint8Array(buffer, HEADER_BYTES) }
}

/** The evidence of an output neuron is a log-odds; its score is the probability, 0 to 1. */
export function score(evidence) {
  return 1 / (1 + Math.exp(-evidence))
}

/** The evidence at which the score is `score`. */
export function logOdds(score) {
  return Math.log(score / (1 - score))
}
