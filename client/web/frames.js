// The binary `frame` message: bands for the spectrogram, evidence for the lanes. Knows the layout that `started` told;
// nothing of sockets, time or pixels. The spikes between them are skipped: nothing here draws them.
//
//   u8 0xF5, u8 version 1, u16 frames, u64 first sample; then for each frame: bands u8, spikes as bits, evidence i16

const MAGIC = 0xf5
const VERSION = 1
const HEADER_BYTES = 12

export class FrameError extends Error {}

/** The layout in `started.frame`, checked: {bands, spikes, labels, bytes, every, evidenceScale, dbFloor, dbCeil}. */
export function layout(frame) {
  const { bands, spikes, labels, bytes } = frame
  const expected = bands + Math.ceil(spikes / 8) + 2 * labels
  if (bytes !== expected) {
    throw new FrameError(`started.frame says ${bytes} bytes for each frame, its parts have ${expected}`)
  }
  return {
    bands,
    spikes,
    labels,
    bytes,
    every: frame.every,
    evidenceScale: frame.evidence_scale,
    dbFloor: frame.db_floor,
    dbCeil: frame.db_ceil,
  }
}

/** @returns {{firstSample: number, count: number, bands: Uint8Array, evidence: Float32Array}} row by row, oldest first */
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
  const bands = new Uint8Array(count * shape.bands)
  const evidence = new Float32Array(count * shape.labels)
  for (let k = 0; k < count; k++) {
    const at = HEADER_BYTES + k * shape.bytes
    bands.set(new Uint8Array(buffer, at, shape.bands), k * shape.bands)
    const evidenceAt = at + shape.bytes - 2 * shape.labels
    for (let i = 0; i < shape.labels; i++) {
      evidence[k * shape.labels + i] = view.getInt16(evidenceAt + 2 * i, true) / shape.evidenceScale
    }
  }
  return { firstSample: Number(view.getBigUint64(4, true)), count, bands, evidence }
}

/** The evidence of an output neuron is a log-odds; its score is the probability, 0 to 1. */
export function score(evidence) {
  return 1 / (1 + Math.exp(-evidence))
}

/** The evidence at which the score is `score`. */
export function logOdds(score) {
  return Math.log(score / (1 - score))
}
