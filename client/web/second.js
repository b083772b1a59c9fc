// A second session for the sound of the first, heard by the model to compare: it is sent the same samples under the same indices.
// Knows a link and a backlog; nothing of the first session.

import * as access from './access.js'
import { Backlog } from './backlog.js'
import { Link, address } from './socket.js'

const EMIT = { frames_hz: 100, levels_hz: 2, heartbeat_s: 2 }

export class Second {
  /** audio: as in `start`, framed. from: index of the first sample that it will be given. kept: samples that wait for a lost one. */
  constructor({ audio, from, kept, sampleBytes, tell, onFrames }) {
    this.backlog = new Backlog(kept, from)
    this.tell = tell
    this.ready = false // the server has said from which sample on
    this.link = new Link({
      url: address('v1/stream', document.baseURI),
      subprotocols: () => access.subprotocols('produce'),
      hello: () => ({
        type: 'start',
        protocol: 1,
        model: 'compare',
        audio,
        source: { name: 'browser, compared', kind: 'browser' },
        emit: EMIT,
      }),
      bytesPerSecond: audio.sample_rate * sampleBytes,
      tell: (message) => this.#told(message),
      onFrames,
    })
  }

  /** The samples that the first session is given, with what was lost before them. */
  hear(samples, missing, broken) {
    this.backlog.add(samples, missing, broken)
    this.#pump()
  }

  stop() {
    this.link.stop()
  }

  #told(message) {
    this.tell(message)
    switch (message.type) {
      case 'started': // a new session, perhaps in the place of one that is gone: what it missed it tells as a gap
        this.outlives = message.resume?.failover
      // falls through
      case 'resumed':
        this.backlog.rewind(message.sample ?? 0)
        this.ready = true
        this.#pump()
        break
      case 'level':
        if (this.outlives) break
      // falls through
      case 'heartbeat':
        this.backlog.heard(message.sample)
        break
      case 'link':
        if (message.phase !== 'stopping') this.ready = false
    }
  }

  #pump() {
    if (this.ready) this.backlog.flow((message) => this.link.audio(message))
  }
}
