// Listening with this browser's microphone: microphone -> link, and every lost sample told. Knows the order in which
// the two are opened and closed; nothing of the DOM.

import * as access from './access.js'
import { Link, address } from './socket.js'
import * as microphone from './microphone.js'

const FRAMES_HZ = 50
const LEVELS_HZ = 10
const HEARTBEAT_S = 2
const SAMPLE_BYTES = 4

export class Listening {
  constructor({ dispatch, onFrames }) {
    this.dispatch = dispatch
    this.onFrames = onFrames
    this.capture = null
    this.link = null
    this.rateHz = 0
    this.unsent = 0 // samples that the connection could not take since the last chunk it took
  }

  async start(deviceId) {
    this.dispatch({ type: 'microphone', phase: 'asking', problem: null })
    try {
      this.capture = await microphone.open({
        deviceId,
        onChunk: (samples, missing) => this.#send(samples, missing),
        onLost: () => this.stop('The microphone was unplugged or taken away.'),
      })
    } catch (error) {
      this.dispatch({ type: 'microphone', phase: 'closed', problem: microphone.explain(error) })
      return
    }
    const { rateHz, name } = this.capture
    this.rateHz = rateHz
    this.link = new Link({
      url: address('v1/stream', document.baseURI),
      subprotocols: () => access.subprotocols('produce'),
      hello: {
        type: 'start',
        protocol: 1,
        audio: { encoding: 'pcm_f32le', sample_rate: rateHz, channels: 1 },
        source: { name: 'browser', kind: 'browser' },
        emit: { frames_hz: FRAMES_HZ, levels_hz: LEVELS_HZ, heartbeat_s: HEARTBEAT_S },
      },
      bytesPerSecond: rateHz * SAMPLE_BYTES,
      tell: (message) => this.#hear(message),
      onFrames: this.onFrames,
    })
    this.dispatch({ type: 'microphone', phase: 'open', device: name, devices: await microphone.devices() })
  }

  async stop(problem = null) {
    const { capture, link } = this
    if (!capture) return
    this.capture = null
    await capture.stop() // gives its last samples first
    link.stop()
    this.dispatch({ type: 'microphone', phase: 'closed', problem })
  }

  retryNow() {
    this.link.retryNow()
  }

  #hear(message) {
    this.dispatch(message)
    if (message.type !== 'link') return
    if (message.phase === 'live') this.capture?.start() // not before, or the first words would be lost
    if (message.phase === 'failed') this.stop(message.detail)
    if (message.phase === 'idle') this.stop() // the server ended the session
  }

  #send(samples, missing) {
    const live = this.link.phase === 'live'
    if (live && this.unsent > 0 && this.link.hasRoom()) {
      this.link.send({ type: 'gap', samples: this.unsent, reason: 'network' })
      this.unsent = 0
    }
    if (live && missing > 0) this.link.send({ type: 'gap', samples: missing, reason: 'capture_overflow' })
    if (this.link.audio(samples.buffer)) return
    if (live) this.unsent += samples.length
    else this.unsent = 0 // a new connection is a new session, with a clock of its own
    this.dispatch({ type: 'unheard', ms: (1000 * samples.length) / this.rateHz })
  }
}
