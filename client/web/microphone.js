// The microphone of this browser, as chunks of float samples at the audio device's real rate, as untouched as the
// browser gives them. Knows the browser's audio and why it may refuse; nothing of sockets or the state.

const CHUNK_MS = 32
const QUANTUM = 128 // samples that an audio worklet gets at a time

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
 * Open a microphone. onChunk(samples: Float32Array, missing: samples lost before it); onLost() when the device goes.
 * @returns {Promise<{rateHz: number, name: string, start: () => void, stop: () => Promise<void>}>}
 */
export async function open({ deviceId, onChunk, onLost }) {
  const media = await navigator.mediaDevices.getUserMedia({
    audio: {
      deviceId: deviceId ? { exact: deviceId } : undefined,
      channelCount: { ideal: 1 },
      echoCancellation: false,
      noiseSuppression: false,
      autoGainControl: false,
    },
  })
  const context = new AudioContext({ latencyHint: 'interactive' })
  const track = media.getAudioTracks()[0]
  track.onended = onLost
  try {
    await context.audioWorklet.addModule(new URL('worklet.js', import.meta.url))
    await context.resume()
  } catch (error) {
    track.stop()
    await context.close()
    throw error
  }
  const node = new AudioWorkletNode(context, 'gather', {
    numberOfInputs: 1,
    numberOfOutputs: 1,
    channelCount: 1,
    channelCountMode: 'explicit',
    processorOptions: { chunkSamples: QUANTUM * Math.round((CHUNK_MS * context.sampleRate) / 1000 / QUANTUM) },
  })
  let expected = null // where the next chunk should start on the context's clock
  let ended
  const end = new Promise((resolve) => (ended = resolve))
  node.port.onmessage = ({ data }) => {
    if (data.ended) return ended()
    const missing = expected === null ? 0 : Math.max(0, data.first - expected)
    expected = data.first + data.samples.length
    onChunk(data.samples, missing)
  }
  const source = context.createMediaStreamSource(media)
  return {
    rateHz: context.sampleRate,
    name: track.label,
    /** Let chunks come; again is the same. */
    start() {
      source.connect(node).connect(context.destination) // the node's output is silence; without it nothing is pulled
    },
    async stop() {
      track.onended = null
      node.port.postMessage('end')
      await end
      track.stop()
      source.disconnect()
      await context.close()
    },
  }
}
