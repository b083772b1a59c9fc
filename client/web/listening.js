// Listening with this browser's microphone: microphone -> backlog -> link, with every lost sample told. Knows the order in
// which they are opened and closed, and what survives which loss; nothing of the DOM.
//
// A lost connection: the session goes on, what was not heard is sent again. A lost server: a new session. A lost device:
// another one takes its place in the same session, and the time between is a gap.

import * as access from './access.js'
import { Backlog } from './backlog.js'
import { Second } from './second.js'
import { Link, address } from './socket.js'
import * as microphone from './microphone.js'

const EMIT = {
  frames_hz: 100,
  levels_hz: 20,
  scores_hz: 5,
  updates_hz: 2,
  heartbeat_s: 2,
  explain: true,
  wave: true,
  linear: true,
}
const KEPT_S = 30 // of sound that the server has not heard
const SAMPLE_BYTES = 4

export class Listening {
  /** detect(): what to detect, as in `start`. comparing(): is a second model wanted? Its messages are `other`'s. */
  constructor({ dispatch, onFrames, onOther, detect, comparing }) {
    this.dispatch = dispatch
    this.onFrames = onFrames
    this.onOther = onOther
    this.detect = detect
    this.comparing = comparing
    this.capture = null
    this.link = null
    this.backlog = null // of the session; null while there is none
    this.second = null // the session of the model to compare, from the first one's start on
  }

  async start(deviceId) {
    this.dispatch({ type: 'microphone', phase: 'asking', problem: null })
    try {
      this.capture = await microphone.open({
        deviceId,
        onChunk: (samples, missing, broken) => this.#hear(samples, missing, broken),
        onLost: () => this.#replace(),
      })
    } catch (error) {
      this.dispatch({ type: 'microphone', phase: 'closed', problem: microphone.explain(error) })
      return
    }
    const { rateHz, name } = this.capture
    this.audio = { encoding: 'pcm_f32le', sample_rate: rateHz, channels: 1, framing: 'framed' }
    this.link = new Link({
      url: address('v1/stream', document.baseURI),
      subprotocols: () => access.subprotocols('produce'),
      hello: () => ({
        type: 'start',
        protocol: 1,
        audio: this.audio,
        source: { name: 'browser', kind: 'browser' },
        detect: this.detect(),
        emit: EMIT,
      }),
      bytesPerSecond: rateHz * SAMPLE_BYTES,
      tell: (message) => this.#told(message),
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
    this.second?.stop()
    this.second = null
    this.backlog = null
    this.dispatch({ type: 'microphone', phase: 'closed', problem })
  }

  retryNow() {
    this.link.retryNow()
  }

  /** Change the detection of the session that runs. */
  configure(id, detect) {
    this.link?.send({ type: 'configure', id, detect })
  }

  /** Let the model to compare hear from here on what the first one hears, or no more; after the first one's start anew. */
  compare() {
    this.second?.stop()
    this.second = null
    this.dispatch({ type: 'other', message: null })
    if (!this.backlog || !this.comparing()) return
    this.second = new Second({
      audio: this.audio,
      from: this.backlog.next,
      kept: this.backlog.limit,
      sampleBytes: SAMPLE_BYTES,
      tell: (message) => this.dispatch({ type: 'other', message }),
      onFrames: this.onOther,
    })
  }

  /** Devices came or went. */
  async changed() {
    this.dispatch({ type: 'microphone', devices: await microphone.devices() })
    if (this.capture?.lost) await this.#replace()
  }

  async #replace() {
    const { capture } = this
    if (!capture) return
    const before = capture.name
    try {
      await capture.replace()
      const text = `${before || 'The microphone'} is gone: listening with ${capture.name || 'another one'}.`
      this.dispatch({ type: 'notice', text })
      this.dispatch({ type: 'microphone', device: capture.name, problem: null })
    } catch (error) {
      if (this.capture !== capture) return
      const text = `${before || 'The microphone'} is gone. Plug one in: listening goes on by itself.`
      this.dispatch({ type: 'notice', text: error.name === 'NotFoundError' ? text : microphone.explain(error) })
    }
  }

  #told(message) {
    this.dispatch(message)
    switch (message.type) {
      case 'started':
        this.#drop()
        this.backlog = new Backlog(KEPT_S * this.capture.rateHz)
        this.outlives = message.resume?.failover // its service, which may have to hear again what was not yet saved
        this.compare()
        this.capture.start() // not before, or the first words would be lost
        break
      case 'resumed':
        this.backlog.rewind(message.sample)
        this.#pump()
        break
      case 'level':
        if (this.outlives) break
      // falls through
      case 'heartbeat':
        this.backlog?.heard(message.sample)
        break
      case 'link':
        if (!message.kept && message.phase !== 'live' && message.phase !== 'stopping') this.#drop()
        if (message.phase === 'failed') this.stop(message.detail)
        if (message.phase === 'idle') this.stop() // the server ended the session
    }
  }

  #hear(samples, missing, broken) {
    const { backlog } = this
    let unheard = 0
    if (backlog) {
      unheard = backlog.add(samples, missing, broken)
      this.second?.hear(samples, missing, broken)
    } else unheard = samples.length + missing // no session to be part of
    this.#pump()
    this.#unheard(unheard)
  }

  /** The session is over: what it had not heard will not be heard. */
  #drop() {
    this.#unheard(this.backlog?.kept ?? 0)
    this.backlog = null
  }

  #unheard(samples) {
    const rateHz = this.capture?.rateHz
    if (samples > 0 && rateHz) this.dispatch({ type: 'unheard', ms: (1000 * samples) / rateHz })
  }

  /** Send what waits, as far as the connection takes it. */
  #pump() {
    this.backlog?.flow((message) => this.link.audio(message))
  }
}
