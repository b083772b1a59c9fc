// The microphone of this browser, as chunks of float samples at the audio device's real rate, as untouched as the
// browser gives them. Knows the browser's audio and why it may refuse; nothing of sockets or the state.

const CHUNK_MS = 32
const QUANTUM = 128 // samples that an audio worklet gets at a time
const ASLEEP_MS = 1000 // more wall time than this without sound: the machine slept, or the device was gone

const REASONS = {
  NotAllowedError:
    'This page may not use the microphone. Allow it in the address bar of the browser, then press Listen again.',
  NotFoundError: 'This computer has no microphone that the browser can see. Plug one in, then press Listen again.',
  NotReadableError: 'The microphone cannot be opened: another program may be using it.',
  OverconstrainedError: 'The chosen microphone is no longer there. Choose another one.',
}

/** A sentence for the error of getUserMedia. */
export function explain(error) {
  return REASONS[error.name] ?? `The microphone cannot be opened: ${error.message || error.name}`
}

/** Why this page cannot have a microphone at all, or null. `scope` is the window. */
export function whyNot(scope) {
  if (!scope.isSecureContext) {
    return (
      `Browsers give a microphone only to pages from https:// or from this computer itself (localhost). ` +
      `This page came from ${scope.location.origin}. Use a file, the server's microphone, or HTTPS.`
    )
  }
  if (!scope.navigator.mediaDevices?.getUserMedia || !scope.AudioWorkletNode) {
    return 'This browser has no microphone interface that works with this page (getUserMedia, AudioWorklet).'
  }
  return null
}

/** [{id, name}]; names are empty until the microphone was allowed once. */
export async function devices() {
  const all = await navigator.mediaDevices.enumerateDevices()
  return all
    .filter((device) => device.kind === 'audioinput' && device.deviceId !== '')
    .map((device, index) => ({ id: device.deviceId, name: device.label || `Microphone ${index + 1}` }))
}

/**
 * Samples lost between two chunks. before, chunk: {first, length, wallMs}: place on the audio context's clock, and the wall
 * clock at the end. The context's clock stands while a laptop sleeps; the wall clock does not.
 */
export function missingBetween(before, chunk, rateHz) {
  const skipped = Math.max(0, chunk.first - before.first - before.length)
  const wall = chunk.wallMs - before.wallMs - (1000 * (chunk.length + skipped)) / rateHz
  return skipped + (wall > ASLEEP_MS ? Math.round((wall * rateHz) / 1000) : 0)
}

function ask(deviceId) {
  return navigator.mediaDevices.getUserMedia({
    audio: {
      deviceId: deviceId ? { exact: deviceId } : undefined,
      channelCount: { ideal: 1 },
      echoCancellation: false,
      noiseSuppression: false,
      autoGainControl: false,
    },
  })
}

/**
 * Open a microphone. onChunk(samples: Float32Array, missing: samples lost before it, broken: another device);
 * onLost() when the device goes.
 * @returns {Promise<Capture>}
 */
export async function open({ deviceId, onChunk, onLost }) {
  const media = await ask(deviceId)
  const context = new AudioContext({ latencyHint: 'interactive' })
  try {
    await context.audioWorklet.addModule(new URL('worklet.js', import.meta.url))
    await context.resume()
  } catch (error) {
    for (const track of media.getTracks()) track.stop()
    await context.close()
    throw error
  }
  return new Capture(context, media, onChunk, onLost)
}

class Capture {
  constructor(context, media, onChunk, onLost) {
    this.context = context
    this.onLost = onLost
    this.rateHz = context.sampleRate
    this.node = new AudioWorkletNode(context, 'gather', {
      numberOfInputs: 1,
      numberOfOutputs: 1,
      channelCount: 1,
      channelCountMode: 'explicit',
      processorOptions: { chunkSamples: QUANTUM * Math.round((CHUNK_MS * context.sampleRate) / 1000 / QUANTUM) },
    })
    this.end = new Promise((resolve) => (this.ended = resolve))
    this.before = null // the chunk that came last
    this.broken = false // the device changed since
    this.running = false
    this.lost = false // the device went, and none has taken its place
    this.node.port.onmessage = ({ data }) => {
      if (data.ended) return this.ended()
      const chunk = { first: data.first, length: data.samples.length, wallMs: data.wallMs }
      const missing = this.before ? missingBetween(this.before, chunk, this.rateHz) : 0
      this.before = chunk
      onChunk(data.samples, missing, this.broken)
      this.broken = false
    }
    context.onstatechange = () => {
      if (context.state === 'interrupted' || context.state === 'suspended') context.resume() // a call, a lid
    }
    this.#use(media)
  }

  get name() {
    return this.track.label
  }

  /** Let chunks come; again is the same. */
  start() {
    if (this.running) return
    this.running = true
    this.source.connect(this.node).connect(this.context.destination) // silent; without it nothing is pulled
  }

  /** Go on with the default device, at the same rate and on the same clock. */
  async replace() {
    if (this.replacing) return
    this.replacing = true
    try {
      const media = await ask(null)
      this.source.disconnect()
      this.#use(media)
      this.broken = true
      if (this.running) this.source.connect(this.node)
    } finally {
      this.replacing = false
    }
  }

  async stop() {
    this.track.onended = this.context.onstatechange = null
    this.node.port.postMessage('end')
    await this.end
    this.track.stop()
    this.source.disconnect()
    await this.context.close()
  }

  #use(media) {
    this.source = this.context.createMediaStreamSource(media)
    this.track = media.getAudioTracks()[0]
    this.lost = false
    this.track.onended = () => {
      this.lost = true
      this.onLost()
    }
  }
}
